/** Runs something of the library with a renderer, and lets Ctrl-C leave it to the director. */
import { deploymentIn, isForDirector } from '../event.ts';
import { EXIT, Failure, LOOK_AFTER, RUN_AGAIN, WATCH_ON, watchDeployment } from '../failure.ts';
import type { ConductorEvent, ConductorOptions } from '../index.ts';
import { InvalidArchitecture } from '../load.ts';
import type { CommandInput } from './command.ts';
import { showDiagnostics } from './diagnostics.ts';
import { onInterrupt } from './interrupt.ts';
import { planCounts, planLines } from './render/plan.ts';
import { type Renderer, rendererFor } from './render/render.ts';
import { waitedFor } from './render/words.ts';
import type { Terminal } from './terminal.ts';

export interface RenderOptions {
  /** Shows the director's plans as it makes them. */
  readonly showPlans?: boolean;
  /** Shows what tools say while they work. */
  readonly showOutput?: boolean;
  /**
   * How whoever leaves it can see how it goes on. By the events where there is an architecture, which is the default;
   * by its one deployment where there is only a director's URL; not from here where other commands have neither.
   */
  readonly watch?: 'events' | 'deployment' | 'nowhere';
  /** All that is done the director does: before it is told, there is nothing. */
  readonly isTelling?: true;
}

export async function withRenderer<T>(
  input: CommandInput,
  options: ConductorOptions,
  work: (options: ConductorOptions) => Promise<T>,
  { showPlans = false, showOutput = false, watch = 'events', isTelling }: RenderOptions = {},
): Promise<T> {
  const { terminal } = input;
  const renderer = withWaits(rendererFor(terminal), watch === 'nowhere');
  let isToldDirector = false;
  let deployment: string | undefined;
  const show = (event: ConductorEvent): void => {
    renderer.show(event);
    isToldDirector ||= isForDirector(event);
    deployment = deploymentIn(event) ?? deployment;
    if (terminal.isJson) return;
    if (showPlans) showPlan(event, renderer, terminal);
    if (showOutput) showLine(event, renderer, terminal);
  };
  const watchOn = (): string => {
    if (watch === 'events') return WATCH_ON;
    if (watch === 'nowhere') return RUN_AGAIN;
    return deployment === undefined ? LOOK_AFTER : watchDeployment(deployment);
  };
  const interrupt = new AbortController();
  const stopListening = onInterrupt(() =>
    interrupt.abort(isToldDirector ? leftToIt(watchOn()) : interrupted(isTelling)),
  );
  try {
    return await work({ ...options, signal: interrupt.signal, onEvent: show });
  } catch (error) {
    renderer.close();
    if (error instanceof InvalidArchitecture) throw showDiagnostics(error, terminal);
    throw error;
  } finally {
    renderer.close();
    stopListening();
  }
}

/** A deployment that waits for somebody says so, once, and what can be done about it. */
function withWaits(renderer: Renderer, isBare: boolean): Renderer {
  /** What each was told to wait for. */
  const told = new Map<string, string>();
  return {
    ...renderer,
    show(event) {
      renderer.show(event);
      if (event.type === 'deployment-waiting') {
        renderer.show({ type: 'note', message: namedWaitLines(event, isBare, told).join('\n') });
        // That is more than its status says.
        told.set(event.deployment, 'waiting_for_lock');
        return;
      }
      if (event.type !== 'director' || event.event.type !== 'status') return;
      const { deployment, stack, status } = event.event;
      if (told.get(deployment) === status) return;
      // One that was planned anew has to be approved anew.
      told.set(deployment, status);
      const lines = waitLines(deployment, stack, status, isBare);
      if (lines.length > 0) renderer.show({ type: 'note', message: lines.join('\n') });
    },
  };
}

type NamedWait = ConductorEvent & { type: 'deployment-waiting' };

/** How to look is said the first time. */
function namedWaitLines(event: NamedWait, isBare: boolean, told: ReadonlyMap<string, string>): string[] {
  const { deployment, stack } = event;
  const line = `${stack} waits for ${waitedFor(event)}`;
  return told.get(deployment) === 'waiting_for_lock' ? [line] : [line, whoHasIt(deployment, isBare)];
}

function whoHasIt(deployment: string, isBare: boolean): string {
  const how = isBare
    ? `GET /v1/deployments/${deployment} at the director`
    : `conductor deployments get ${deployment}`;
  return `  see who has it: ${how}`;
}

function waitLines(deployment: string, stack: string, status: string, isBare: boolean): string[] {
  const path = `/v1/deployments/${deployment}`;
  if (status === 'waiting_for_lock')
    return [
      `${stack} is taken, by a lock or another deployment, and this run waits for it.`,
      whoHasIt(deployment, isBare),
    ];
  if (status !== 'awaiting_approval') return [];
  const waits = `${stack} awaits approval, and this run waits for it.`;
  if (isBare)
    return [
      waits,
      `  read its plan: GET ${path} at the director`,
      `  approve it:    POST ${path}/approve there`,
    ];
  return [
    waits,
    `  read its plan: conductor deployments get ${deployment}`,
    `  approve it:    conductor approve ${deployment}`,
  ];
}

function showPlan(event: ConductorEvent, renderer: Renderer, { paint }: Terminal): void {
  if (event.type !== 'director' || event.event.type !== 'planned') return;
  const { stack, plan } = event.event;
  const lines = planLines(plan, paint).map((line) => `  ${line}`);
  const message = [`${paint.bold(stack)}: ${planCounts(plan)}`, ...lines].join('\n');
  renderer.show({ type: 'note', message });
}

function showLine(event: ConductorEvent, renderer: Renderer, { paint }: Terminal): void {
  if (event.type !== 'task-output') return;
  renderer.show({ type: 'note', message: `  ${paint.dim(`${event.task}: ${event.line}`)}` });
}

/** Ctrl-C detaches: what the director was told goes on. */
function leftToIt(fix: string): Failure {
  return new Failure('Interrupted here; what the director was told goes on', {
    exitCode: EXIT.interrupted,
    fix,
  });
}

/** Before it was told anything there is nobody to go on. */
function interrupted(isTelling = false): Failure {
  return isTelling
    ? new Failure('Interrupted before the director was told anything', { exitCode: EXIT.interrupted })
    : new Failure('Interrupted; what was made stays', { exitCode: EXIT.interrupted, fix: RUN_AGAIN });
}
