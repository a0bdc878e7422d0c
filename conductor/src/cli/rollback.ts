/** Brings a stack back to an earlier version of its state; says before what it cannot restore. */
import { EXIT } from '../failure.ts';
import { conductor } from '../index.ts';
import type { CommandRun } from './command.ts';
import { architectureAt, demandWord, numberOf, runOf, targetOf, usage, wishesOf } from './input.ts';
import { withRenderer } from './run.ts';

export const run: CommandRun = async (input) => {
  const { options } = input;
  const isDeployment = options.flag('deployment');
  const how = `conductor rollback ${isDeployment ? '--deployment ID' : 'DATAFLOW'} [FILE] --reason TEXT`;
  const what = isDeployment ? 'The id of a deployment' : 'The name of a dataflow';
  const name = demandWord(input, 0, what, how);
  const [reason, version] = [options.text('reason'), options.text('to-version')];
  if (reason === undefined) throw usage('--reason is missing: why it goes back', how);
  const wanted = {
    subject: isDeployment ? { deployment: name } : { dataflow: name },
    toVersion: version === undefined ? undefined : numberOf('to-version', version, 0, 1e9),
    reason,
    dryRun: options.flag('dry-run'),
  };
  const architecture = architectureAt(input, 1);
  const full = { ...targetOf(input, 1), ...runOf(input), architecture, wishes: wishesOf(input) };
  await withRenderer(input, full, (ready) => conductor(ready).rollback(wanted), {
    showPlans: true,
    isTelling: true,
    watch: architecture === undefined ? 'deployment' : 'events',
  });
  return EXIT.done;
};
