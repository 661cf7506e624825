// A node: the words of its first port in lower case, joined by hyphens.
export const node = {
  describe() {
    return [{
      name: 'slug',
      summary: 'Words in lower case, joined by hyphens.',
      settingsSchema: JSON.stringify({ type: 'object' }),
      ports: ['text'],
      outputs: ['text'],
    }];
  },

  run(input) {
    if (input.kind !== 'slug') throw { message: `there is no kind ${input.kind}; there is: slug` };
    const words = input.ports[0].value.toLowerCase().match(/[a-z0-9]+/g) ?? [];
    return { outputs: [{ name: 'text', value: words.join('-') }], diagnostics: [] };
  },
};
