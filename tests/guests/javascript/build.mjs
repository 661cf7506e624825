// Builds a component: node build.mjs SOURCE WORLD OUT WIT [default].
import { componentize } from '@bytecodealliance/componentize-js';
import { readFile, writeFile } from 'node:fs/promises';

const [source, worldName, out, witPath, how] = process.argv.slice(2);
// A default build imports files, sockets and HTTP, which no guest is given.
const disableFeatures = how === 'default' ? [] : ['stdio', 'random', 'clocks', 'http', 'fetch-event'];
const options = { sourceName: source, witPath, worldName, disableFeatures };
const { component } = await componentize(await readFile(source, 'utf8'), options);
await writeFile(out, component);
