#!/usr/bin/env node
/** The conductor's program. */
import { enableCompileCache } from 'node:module';
import { runCli } from './cli/cli.ts';

enableCompileCache();

const { stdout, stderr, env } = process;
/** Written out before the process ends, however slow the reader is. */
process.exitCode = await runCli({ argv: process.argv.slice(2), stdout, stderr, env, cwd: process.cwd() });
