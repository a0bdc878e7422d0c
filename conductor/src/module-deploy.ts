/**
 * Has a director deploy one folder of infrastructure code: an architecture of one dataflow with one module, which is
 * made here and written down nowhere but in the director.
 */
import type { DeploymentReport } from '@service-director/shared/contract/event.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import type { Architecture } from '@service-director/shared/model/architecture.ts';
import { unitId } from '@service-director/shared/model/unit.ts';
import type { RunContext } from './context.ts';
import { AT_ITS_URL, type Desk, openDesk } from './desk.ts';
import { Unanswered } from './director-http.ts';
import { deploymentIn } from './event.ts';
import { EXIT, Failure, RUN_AGAIN, watchDeployment } from './failure.ts';
import { followJournal } from './module-journal.ts';
import { DATAFLOW, type ModuleWanted, openModule } from './module-place.ts';
import { sendModules } from './modules.ts';
import { type ConductorOptions, RunTimedOut } from './open.ts';
import { findDirector } from './phases/bootstrap.ts';
import { commandSeconds } from './phases/command.ts';
import { inPhase } from './up.ts';

export interface ModuleDeployment extends ModuleWanted {
  readonly what: 'deploy' | 'plan' | 'destroy';
}

export interface ModuleResult {
  /** `<scope>/<dataflow>`. */
  readonly stack: string;
  readonly seconds: number;
  readonly report: DeploymentReport | undefined;
  /** Of the module, as they stand: without those that hold secrets. */
  readonly outputs: Readonly<Record<string, string>>;
}

/** Rejects with a Failure: when the director refuses it, when the tool failed, when the time is over. */
export async function deployModule(
  options: ConductorOptions,
  wanted: ModuleDeployment,
): Promise<ModuleResult> {
  const began = systemClock.now();
  const context = await openModule(options, wanted);
  const time = new AbortController();
  const { timeoutSeconds } = context;
  const stopTimer = systemClock.after(timeoutSeconds * 1000, () =>
    time.abort(new RunTimedOut(timeoutSeconds)),
  );
  let deployment: string | undefined;
  const timed: RunContext = {
    ...context,
    signal: AbortSignal.any([context.signal, time.signal]),
    emit(event) {
      deployment = deploymentIn(event) ?? deployment;
      context.emit(event);
    },
  };
  const work = (): Promise<Omit<ModuleResult, 'seconds'>> => tellDirector(timed, wanted);
  try {
    const done = await inPhase(wanted.what === 'destroy' ? 'teardown' : 'deploy', work, timed);
    return { ...done, seconds: (systemClock.now() - began) / 1000 };
  } catch (error) {
    const failure = Failure.from(error, `the deployment of ${wanted.name}`);
    // Where others find the director too, they can be told to.
    const isFound = options.directorUrl !== undefined || options.local !== undefined;
    throw withAdvice(failure, wanted, isFound ? deployment : undefined);
  } finally {
    stopTimer();
  }
}

/** The tool's own advice is about its own command line, and a plan that failed comes without ours. */
function withAdvice(failure: Failure, { where }: ModuleDeployment, watched: string | undefined): Failure {
  const { message, exitCode, fix } = failure;
  const advised = (advice: string): Failure =>
    new Failure(message, { exitCode, fix: advice, cause: failure });
  const isBare = !('architecture' in where);
  // Other commands ask for an architecture, or a URL.
  if (failure instanceof RunTimedOut && isBare)
    return advised(watched === undefined ? RUN_AGAIN : watchDeployment(watched));
  if (failure instanceof Unanswered && isBare) return advised(AT_ITS_URL);
  // What can be done from here says more than what the tool says.
  const advice = ADVICE.find(([text]) => message.includes(text))?.[1] ?? fix;
  return advice === undefined ? failure : advised(advice);
}

const ADVICE: readonly (readonly [string, string])[] = [
  [
    'No value for required variable',
    "give it one with --var KEY=VALUE; a secret in the director's environment, as TF_VAR_KEY",
  ],
];

async function tellDirector(
  context: RunContext,
  { name, what }: ModuleDeployment,
): Promise<Omit<ModuleResult, 'seconds'>> {
  const url = await demandFound(context);
  const desk = await openDesk(context);
  const { scope } = context.architecture;
  context.emit({ type: 'note', message: `${what} ${scope}/${DATAFLOW} at ${url}` });
  await demandOwnName(desk, name, scope);
  const data = {
    ...context.wishes,
    dataflow: DATAFLOW,
    scope,
    timeout_seconds: commandSeconds(context),
    dry_run: what === 'plan',
  };
  const log = followJournal(desk, context);
  const answer = await (what === 'destroy'
    ? desk.tell('teardown', data, log.see)
    : desk.tell('dataflow-setup', { ...data, architecture: await brought(context) }, log.see)
  ).finally(log.end);
  const [report] = answer.deployments;
  const stack = `${scope}/${DATAFLOW}`;
  if (what !== 'deploy') return { stack, report, outputs: {} };
  const { units } = await desk.ask((director) => director.stack({ scope, dataflow: DATAFLOW }));
  const outputs = units.find(({ id }) => id === unitId('module', name))?.outputs ?? {};
  return { stack, report, outputs };
}

/** What the command brings: the code itself is at the director by then. */
async function brought(
  context: RunContext,
): Promise<{ document: Architecture; environment?: string | undefined }> {
  const { environment } = context;
  const document = await sendModules(await findDirector(context), context);
  return { document, ...(environment === undefined ? {} : { environment }) };
}

/** A director in another region is one that only its region, or its architecture, leads to. */
async function demandFound(context: RunContext): Promise<string> {
  return findDirector(context).catch((error: unknown) => {
    const failure = Failure.from(error, 'looking for the director');
    const isElsewhere = failure.message.includes(' already, not in ');
    const fix = isElsewhere
      ? 'name its region with --region, or the architecture that it came with: conductor deploy DIR [FILE]'
      : failure.exitCode === EXIT.unreachable && context.directorUrl === undefined
        ? 'name the architecture that a director came with, conductor deploy DIR [FILE], or its --director-url'
        : failure.fix;
    throw new Failure(failure.message, { exitCode: failure.exitCode, fix, cause: error });
  });
}

/** A command teaches the director its architecture: it must not take the place of a larger one. */
async function demandOwnName(desk: Desk, name: string, own: string): Promise<void> {
  const stacks = await desk.ask((director) => director.stacks());
  const others = stacks.filter(({ scope, dataflow }) => scope === own && dataflow !== DATAFLOW);
  if (others.length === 0) return;
  const named = others.map(({ dataflow }) => dataflow).join(', ');
  throw new Failure(`There is an architecture ${own} already, whose dataflows are: ${named}`, {
    exitCode: EXIT.usage,
    fix: `give the module a name of its own: --name my-${name}`,
  });
}
