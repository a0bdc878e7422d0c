import { EXIT } from '../failure.ts';
import { conductor } from '../index.ts';
import type { CommandRun } from './command.ts';
import { runOf, targetOf } from './input.ts';
import { withRenderer } from './run.ts';

export const run: CommandRun = async (input) => {
  const { options } = input;
  const what = {
    keepDirector: options.flag('keep-director'),
    testRun: options.flag('test-run'),
    dryRun: options.flag('dry-run'),
  };
  await withRenderer(input, { ...targetOf(input), ...runOf(input) }, (ready) =>
    conductor(ready).teardown(what),
  );
  return EXIT.done;
};
