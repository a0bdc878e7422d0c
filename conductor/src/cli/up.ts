import { EXIT } from '../failure.ts';
import { type ConductorOptions, conductor } from '../index.ts';
import type { CommandRun } from './command.ts';
import { phasesOf, runOf, targetOf, usage, wishesOf } from './input.ts';
import { withRenderer } from './run.ts';

export const run: CommandRun = async (input) => {
  const { options } = input;
  const builder = options.text('builder') ?? 'cloud-build';
  if (builder !== 'cloud-build' && builder !== 'docker')
    throw usage(`--builder ${builder}: there is no such builder`, 'it can be cloud-build, docker');
  const full: ConductorOptions = {
    ...targetOf(input),
    ...runOf(input),
    builder,
    wishes: wishesOf(input),
    only: phasesOf(options, 'only'),
    skip: phasesOf(options, 'skip'),
  };
  if (full.only && full.skip) throw usage('--only and --skip exclude each other', 'leave one out');
  await withRenderer(input, full, (ready) => conductor(ready).run());
  return EXIT.done;
};
