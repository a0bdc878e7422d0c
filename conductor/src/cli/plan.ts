import { EXIT } from '../failure.ts';
import { conductor } from '../index.ts';
import type { PlanResult } from '../plan.ts';
import type { CommandRun } from './command.ts';
import { runOf, targetOf } from './input.ts';
import { planCounts, planLines } from './render/plan.ts';
import { withRenderer } from './run.ts';
import type { Terminal } from './terminal.ts';

export const run: CommandRun = async (input) => {
  const { options, terminal } = input;
  const result = await withRenderer(input, { ...targetOf(input), ...runOf(input) }, (ready) =>
    conductor(ready).plan(),
  );
  if (terminal.isJson) terminal.data(JSON.stringify({ type: 'plan', ...result }));
  else show(result, terminal);
  if (result.plans.some(({ plan }) => plan.refused.length > 0)) return EXIT.failed;
  const changes = result.builds.length > 0 || result.plans.some(({ plan }) => plan.changes.length > 0);
  return changes && options.flag('detailed-exitcode') ? EXIT.changes : EXIT.done;
};

function show({ plans, builds, notes }: PlanResult, terminal: Terminal): void {
  const { dataPaint: paint } = terminal;
  for (const note of notes) terminal.data(paint.yellow(terminal.asTyped(note)));
  for (const { stack, operation, plan } of plans) {
    terminal.data(`${paint.bold(`${stack} ${operation}`)}: ${planCounts(plan)}`);
    for (const line of planLines(plan, paint)) terminal.data(`  ${terminal.asTyped(line)}`);
  }
  if (builds.length > 0) terminal.data(`${paint.bold('build')}: the images of ${builds.join(', ')}`);
  if (builds.length === 0 && plans.every(({ plan }) => plan.changes.length === 0))
    terminal.data('Nothing to change.');
}
