/** Approves the plan of a deployment that waits for it, or rejects it. Another plan than the one shown is not approved. */
import { EXIT, Failure } from '../failure.ts';
import { atDesk, TELL_SECONDS } from './at-desk.ts';
import type { CommandRun } from './command.ts';
import { demandWord } from './input.ts';
import { planCounts, planLines } from './render/plan.ts';

export const run: CommandRun = async (input) => {
  const { options, terminal } = input;
  const { paint } = terminal;
  const deployment = demandWord(input, 0, 'The id of a deployment', 'conductor approve DEPLOYMENT [FILE]');
  const decision = options.flag('reject') ? 'reject' : 'approve';
  const reason = options.text('reason');
  return atDesk(
    input,
    1,
    TELL_SECONDS,
    async ({ ask, tell }) => {
      const { approval, stack, status, report } = await ask((director) => director.deployment(deployment));
      if (approval?.state !== 'pending')
        throw new Failure(`The deployment ${deployment} waits for no approval: it is ${status}`, {
          fix: `see conductor deployments get ${deployment}`,
        });
      const hash = options.text('plan-hash') ?? approval.plan_hash;
      if (report.plan?.hash === hash) {
        terminal.progress(`${paint.bold(stack)} plan ${hash}: ${planCounts(report.plan)}\n`);
        for (const line of planLines(report.plan, paint)) terminal.progress(`  ${terminal.asTyped(line)}\n`);
      }
      const data = {
        deployment,
        decision,
        plan_hash: hash,
        ...(reason === undefined ? {} : { reason }),
      } as const;
      const { note } = await tell('approve', data);
      terminal.data(
        terminal.isJson
          ? JSON.stringify({ type: 'approve', deployment, decision, plan_hash: hash, note })
          : (note ?? `${deployment} is ${decision === 'approve' ? 'approved' : 'rejected'}`),
      );
      return EXIT.done;
    },
    `conductor deployments get ${deployment}`,
  );
};
