/** Brings a stack back to an earlier version of its state, by the director; tells how it goes from the journal. */
import type { DeploymentReport, DirectorEvent } from '@service-director/shared/contract/event.ts';
import type { BareContext, RunContext } from './context.ts';
import { openDesk } from './desk.ts';
import type { CommandDetail } from './director-http.ts';
import type { Emit, Summary } from './event.ts';
import { Failure } from './failure.ts';
import { eventOf } from './news.ts';
import { commandSeconds } from './phases/command.ts';
import { inPhase, summarize } from './up.ts';
import { waitWatcher } from './waiting.ts';

export interface RollbackOptions {
  /** What goes back: the stack of a dataflow, which may be called by its whole name, or of the deployment that is to be undone. */
  readonly subject: { readonly dataflow: string } | { readonly deployment: string };
  /** Default: the version before that of the deployment, or before the newest. `current`: only what others changed. */
  readonly toVersion?: number | 'current' | undefined;
  /** For the history. */
  readonly reason: string;
  /** Plan, and change nothing. */
  readonly dryRun?: boolean;
}

export interface RollbackResult {
  readonly deployments: readonly DeploymentReport[];
  readonly summary: Summary;
}

export async function rollback(
  context: RunContext | BareContext,
  options: RollbackOptions,
): Promise<RollbackResult> {
  return inPhase(
    options.toVersion === 'current' ? 'drift' : 'rollback',
    () => goBack(context, options),
    context,
  );
}

async function goBack(
  context: RunContext | BareContext,
  { subject, toVersion, reason, dryRun = false }: RollbackOptions,
): Promise<RollbackResult> {
  const desk = await openDesk(context);
  const data = {
    ...context.wishes,
    ...('dataflow' in subject ? await desk.stackNamed(subject.dataflow) : subject),
    ...(toVersion === undefined ? {} : { to_version: toVersion }),
    reason,
    dry_run: dryRun,
    timeout_seconds: commandSeconds(context),
  };
  const [tell, watch] = [teller(context.emit), waitWatcher(desk, context.emit)];
  let isAccepted = false;
  const answer = await desk
    .tell('rollback', data, (detail) => {
      if (!isAccepted) tellAccepted(detail, context.emit);
      isAccepted = true;
      void watch(detail);
      tell(detail);
    })
    .catch((error: unknown) => {
      throw advised(error, subject);
    });
  return { deployments: answer.deployments, summary: summarize([answer], {}, context) };
}

/** From here on it goes on without us. */
function tellAccepted({ id, deployments }: CommandDetail, emit: Emit): void {
  const stack = deployments[0]?.stack ?? '';
  const dataflow = stack.slice(stack.indexOf('/') + 1);
  const event = { type: 'accepted', command: id, command_type: 'rollback', dataflow } as const;
  emit({ type: 'director', id: `${id} accepted`, event });
}

/** Which versions there are says what the director leaves open. */
function advised(error: unknown, subject: RollbackOptions['subject']): unknown {
  if (!(error instanceof Failure) || error.fix !== undefined || !('dataflow' in subject)) return error;
  const fix = `see conductor history ${subject.dataflow}`;
  return new Failure(error.message, { exitCode: error.exitCode, fix, cause: error });
}

/** Tells what is new since it was called before, as the director tells it while it happens. */
export function teller(emit: Emit): (detail: CommandDetail) => void {
  const told = new Set<string>();
  const tell = (event: DirectorEvent, at = ''): void => {
    const fact = JSON.stringify([at, event]);
    if (!told.has(fact)) emit({ type: 'director', id: fact, event });
    told.add(fact);
  };
  return ({ id, deployments, events }) => {
    for (const { id: deployment, stack, plan } of deployments)
      if (plan) tell({ type: 'planned', command: id, deployment, stack, plan });
    for (const [index, line] of events.entries()) {
      if (line.type === 'finish' && line.result === 'unchanged') continue;
      const deployment = deployments.find((one) => one.stack === line.stack)?.id ?? '';
      tell(eventOf(line, id, deployment, events.slice(0, index)), line.at);
    }
  };
}
