import { EXIT } from '../failure.ts';
import { conductor } from '../index.ts';
import type { CommandRun } from './command.ts';
import { runOf, targetOf, wishesOf } from './input.ts';
import { withRenderer } from './run.ts';

export const run: CommandRun = async (input) => {
  const { options } = input;
  const what = {
    keepDirector: options.flag('keep-director'),
    testRun: options.flag('test-run'),
    dryRun: options.flag('dry-run'),
  };
  const full = { ...targetOf(input), ...runOf(input), wishes: wishesOf(input) };
  await withRenderer(input, full, (ready) => conductor(ready).teardown(what), { showPlans: what.dryRun });
  return EXIT.done;
};
