#!/usr/bin/env node
/** The conductor's program. */
import { enableCompileCache } from 'node:module';
import { runCli } from './cli/cli.ts';

enableCompileCache();

// Where Google's metadata server is looked for in vain, that is no news; written over a live picture it spoils it.
process.removeAllListeners('warning');
process.on('warning', ({ name, message }) => {
  if (name !== 'MetadataLookupWarning') process.stderr.write(`${name}: ${message}\n`);
});

const { stdout, stderr, env, argv0: node } = process;
const [, file, ...argv] = process.argv;
const code = await runCli({ argv, stdout, stderr, env, cwd: process.cwd(), file, node });
// Written out before the process ends, however slow the reader is. A connection that a closed client still holds is
// not waited for: now and then one kept a process for 58 s.
await Promise.all(
  [stdout, stderr].map((stream) => new Promise<void>((done) => stream.write('', () => done()))),
);
process.exit(code);
