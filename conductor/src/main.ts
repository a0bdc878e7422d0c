#!/usr/bin/env node
/** The conductor's program. */
import { enableCompileCache } from 'node:module';
import { runCli } from './cli/cli.ts';

enableCompileCache();

const { stdout, stderr, env } = process;
const code = await runCli({ argv: process.argv.slice(2), stdout, stderr, env, cwd: process.cwd() });
// Written out before the process ends, however slow the reader is. Connections that Google's clients are letting go
// of are not waited for: now and then that takes them a minute.
await Promise.all(
  [stdout, stderr].map((stream) => new Promise<void>((done) => stream.write('', () => done()))),
);
process.exit(code);
