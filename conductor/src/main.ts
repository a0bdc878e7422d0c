#!/usr/bin/env node
/** The conductor's program. */
import { enableCompileCache } from 'node:module';
import { runCli } from './cli/cli.ts';

enableCompileCache();

const { stdout, stderr, env } = process;
const code = await runCli({ argv: process.argv.slice(2), stdout, stderr, env, cwd: process.cwd() });
// Written out before the process ends, however slow the reader is. A connection that a closed client still holds is
// not waited for: now and then one kept a process for 58 s.
await Promise.all(
  [stdout, stderr].map((stream) => new Promise<void>((done) => stream.write('', () => done()))),
);
process.exit(code);
