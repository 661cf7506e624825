// A scorer: exact match without regard to case.
import { write } from 'fapo:tenant/log@0.1.0';

const text = (value) => value.trim().toLowerCase();

export const scorer = {
  validateCase(labelled, profile) {
    if (typeof JSON.parse(labelled.expected).answer !== 'string') throw 'expected.answer is missing';
  },

  scoreCase(finished, profile) {
    const { input, expected } = finished.labelled;
    write('info', `scored ${input.caseId}`);
    if (JSON.parse(profile).behave === 'throw') throw new Error('thrown on purpose');
    if (JSON.parse(profile).behave === 'random') return score(Math.floor(Math.random() * 100));
    return score(text(JSON.parse(expected).answer) === text(finished.outputText) ? 100 : 0);
  },
};

function score(value) {
  return { composite: value, breakdown: [{ name: 'exact_match', value }], feedback: '', diagnostics: [] };
}
