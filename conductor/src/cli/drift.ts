/** Looks whether anything of a dataflow differs from how it was applied; puts it back where that is asked for. */
import { EXIT } from '../failure.ts';
import { conductor } from '../index.ts';
import type { CommandRun } from './command.ts';
import { architectureAt, demandWord, runOf, targetOf, wishesOf } from './input.ts';
import { withRenderer } from './run.ts';

export const run: CommandRun = async (input) => {
  const { options, terminal } = input;
  const dataflow = demandWord(input, 0, 'The name of a dataflow', 'conductor drift DATAFLOW [FILE]');
  const isRepair = options.flag('repair');
  const wanted = {
    subject: { dataflow },
    toVersion: 'current',
    reason: options.text('reason') ?? (isRepair ? 'what others changed is put back' : 'a look for drift'),
    dryRun: !isRepair,
  } as const;
  const architecture = architectureAt(input, 1);
  const full = { ...targetOf(input, 1), ...runOf(input), architecture, wishes: wishesOf(input) };
  const { deployments } = await withRenderer(input, full, (ready) => conductor(ready).rollback(wanted), {
    showPlans: true,
    isTelling: true,
    watch: architecture === undefined ? 'deployment' : 'events',
  });
  const differs = deployments.some(({ plan }) => plan !== undefined && plan.changes.length > 0);
  if (!isRepair && !terminal.isJson)
    terminal.data(
      differs
        ? terminal.asTyped(`conductor drift ${dataflow} --repair puts it back`)
        : 'Nothing differs from how it was applied.',
    );
  return differs && !isRepair && options.flag('detailed-exitcode') ? EXIT.changes : EXIT.done;
};
