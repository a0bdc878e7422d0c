/** From what a caller wants to what a run stands on. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock, systemRandom } from '@service-director/shared/kit/clock.ts';
import { limiter } from '@service-director/shared/kit/limiter.ts';
import { type Hydrated, hydrate, UnknownEnvironment } from '@service-director/shared/model/hydrate.ts';
import type { BareContext, LocalReach, RunContext, Wishes } from './context.ts';
import { type ConductorEvent, isForDirector, type Phase, type RunOperation } from './event.ts';
import { EXIT, Failure, LOOK_AFTER, RUN_AGAIN, WATCH_ON } from './failure.ts';
import { type Loaded, loadArchitecture } from './load.ts';
import {
  demandLocalCloud,
  isRunning,
  joinLocalCloud,
  type LocalCloudFile,
  type LocalOptions,
  localCloudGone,
  localLook,
  localReach,
} from './local.ts';
import { demandDirectorOn } from './local-director.ts';
import { bundledDirector } from './phases/build.ts';
import { authorizationBy, reachCloud } from './reach.ts';

export interface ConductorOptions {
  /** The file or folder of the architecture. Left out: only what a director can be asked and told at its URL. */
  readonly architecture?: string | undefined;
  /** One of its `deployment_environments`. */
  readonly environment?: string | undefined;
  /** Only this dataflow. */
  readonly dataflow?: string | undefined;
  /** Only these phases, or all but those. */
  readonly only?: readonly Phase[] | undefined;
  readonly skip?: readonly Phase[] | undefined;
  /** How what the director is told is to be done. */
  readonly wishes?: Wishes | undefined;
  /** A director that runs already. */
  readonly directorUrl?: string | undefined;
  /** On a local cloud: a run starts it if need be, a look does not. */
  readonly local?: LocalOptions | undefined;
  /** The root of all Google APIs, where it is not Google. */
  readonly endpoint?: string | undefined;
  readonly builder?: 'cloud-build' | 'docker' | undefined;
  /** Seconds after which the run is given up here; what the director does goes on. Default 1,800. */
  readonly timeoutSeconds?: number | undefined;
  /** How much is done at once. Default 16. */
  readonly concurrency?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: ConductorEvent) => void) | undefined;
  /** The environment of tools that are called. Default: empty but for PATH. */
  readonly environmentVariables?: Readonly<Record<string, string>> | undefined;
  /** Relative paths start here. Default: the folder of the process. */
  readonly cwd?: string | undefined;
}

export interface OpenRun extends RunContext {
  readonly loaded: Loaded;
  stopTimer(): void;
}

/** The time of the run is over; what the director was told, if it was, goes on. */
export class RunTimedOut extends Failure {
  constructor(seconds: number, isToldDirector = true, watchOn = WATCH_ON) {
    const rest = isToldDirector ? 'what the director was told goes on' : 'what was made stays';
    super(`It was not done within ${seconds} s; ${rest}`, {
      exitCode: EXIT.timedOut,
      fix: isToldDirector ? watchOn : RUN_AGAIN,
    });
  }
}

/** For a run that may make things: on a local cloud that is started if need be, and with an end to its time. */
export async function openRun(
  options: ConductorOptions,
  run: string,
  operation: RunOperation,
): Promise<OpenRun> {
  const subject = subjectOf(options, SENDING.has(operation));
  // What is described no more, the director can still take down.
  if (operation !== 'down') demandDataflow(subject.architecture, options.dataflow);
  const { project_id: project } = subject.architecture;
  const cloud = options.local && (await cloudFor(operation, { project, ...options.local }));
  const local = options.local && cloud ? localReach(options.local.dir, cloud) : undefined;
  const context = contextOf(options, run, subject, local, cloud);
  let isToldDirector = false;
  const end = new AbortController();
  const stopTimer = systemClock.after(context.timeoutSeconds * 1000, () =>
    end.abort(new RunTimedOut(context.timeoutSeconds, isToldDirector)),
  );
  const stopWatch = options.local && cloud ? watch(options.local.dir, cloud, end) : () => {};
  return {
    ...context,
    loaded: subject.loaded,
    signal: AbortSignal.any([context.signal, end.signal]),
    emit(event) {
      isToldDirector ||= isForDirector(event);
      context.emit(event);
    },
    stopTimer() {
      stopTimer();
      stopWatch();
    },
  };
}

/** How often a run looks whether its local cloud is still there, in milliseconds. */
const WATCH_MS = 500;

/** Ends the run once its local cloud has ended: unlike Google's, that does not come back by itself. Returns what stops it. */
function watch(dir: string, cloud: LocalCloudFile, end: AbortController): () => void {
  let stop = (): void => {};
  const look = (): void => {
    if (isRunning(cloud)) stop = systemClock.after(WATCH_MS, look);
    else end.abort(localCloudGone(dir));
  };
  look();
  return () => stop();
}

/** On a local cloud that has only just been started there is nothing to go back to. */
async function cloudFor(operation: RunOperation, local: LocalOptions): Promise<LocalCloudFile> {
  const isOfWhatIs = operation === 'rollback' || operation === 'drift';
  return isOfWhatIs ? demandLocalCloud(local.dir) : joinLocalCloud(local, programOf());
}

/** For a look at what is there: nothing is started and nothing made. Throws a Failure where no local cloud runs. */
export function openLook(options: ConductorOptions, run: string): RunContext {
  const cloud = options.local ? demandLocalCloud(options.local.dir) : undefined;
  const subject = subjectOf(options, false);
  demandDataflow(subject.architecture, options.dataflow);
  const local = options.local && cloud ? localLook(options.local.dir, cloud) : undefined;
  return contextOf(options, run, subject, local, cloud);
}

/**
 * For what takes no more than a director that answers: without an architecture at its URL, or the one of the local
 * cloud. Nothing is started and nothing made. Rejects with a Failure where there is neither.
 */
export async function openDirector(
  options: ConductorOptions,
  run: string,
): Promise<RunContext | BareContext> {
  const { architecture, directorUrl, local } = options;
  if (architecture !== undefined) return openLook(options, run);
  const cloud = local && demandLocalCloud(local.dir);
  const found = directorUrl === undefined && cloud ? await demandDirectorOn(cloud, local.dir) : undefined;
  const url = directorUrl ?? found?.url;
  if (url === undefined)
    throw new Failure('Where the director is, nothing says: there is no architecture here, and no URL', {
      exitCode: EXIT.usage,
      fix: 'name the FILE of the architecture that it came with, or a director that runs: --director-url URL',
    });
  const endpoint = cloud?.origin ?? options.endpoint;
  return {
    ...settingsOf(options, run),
    architecture: undefined,
    directorUrl: url,
    place: found && { ...found, cloud: reachCloud({ ...found, endpoint, local: undefined }).cloud },
    reach: { authorization: authorizationBy(endpoint) },
  };
}

/** The same with an end to its time. `stopTimer` when it is done. */
export async function openDirectorFor(
  options: ConductorOptions,
  run: string,
): Promise<{ readonly context: RunContext | BareContext; stopTimer(): void }> {
  const context = await openDirector(options, run);
  const { timeoutSeconds } = context;
  const end = new AbortController();
  const stopTimer = systemClock.after(timeoutSeconds * 1000, () =>
    end.abort(new RunTimedOut(timeoutSeconds, true, context.architecture ? WATCH_ON : LOOK_AFTER)),
  );
  return { context: { ...context, signal: AbortSignal.any([context.signal, end.signal]) }, stopTimer };
}

/** What a run is about. */
interface Subject {
  readonly loaded: Loaded;
  readonly architecture: Hydrated;
}

/** Runs that send sources to be built, or would. */
const SENDING: ReadonlySet<RunOperation> = new Set(['up', 'plan']);

function subjectOf(
  { architecture: path, cwd, environment, dataflow, directorUrl }: ConductorOptions,
  isSending: boolean,
): Subject {
  const sources = isSending && { dataflow, director: directorUrl === undefined };
  if (path === undefined)
    throw new Failure('Which architecture is not said', {
      exitCode: EXIT.usage,
      fix: 'name its file or folder',
    });
  const loaded = loadArchitecture(path, cwd ?? process.cwd(), { sources });
  return { loaded, architecture: hydrated(loaded, environment) };
}

function contextOf(
  options: ConductorOptions,
  run: string,
  { loaded, architecture }: Subject,
  local: LocalReach | undefined,
  cloud: LocalCloudFile | undefined,
): RunContext {
  const endpoint = cloud?.origin ?? options.endpoint;
  return {
    ...settingsOf(options, run),
    reach: reachCloud({ project: architecture.project_id, endpoint, local }),
    architecture,
    document: loaded.architecture,
    base: loaded.base,
    directorSource: bundledDirector(dirname(programOf())),
    directorUrl: options.directorUrl,
  };
}

/** What a run is told beside what it is about. */
function settingsOf(
  options: ConductorOptions,
  run: string,
): Omit<BareContext, 'architecture' | 'directorUrl' | 'place' | 'reach'> {
  return {
    run,
    environment: options.environment,
    dataflow: options.dataflow,
    wishes: options.wishes ?? {},
    builder: options.builder ?? 'cloud-build',
    timeoutSeconds: atLeastOne('timeoutSeconds', options.timeoutSeconds ?? 1_800),
    clock: systemClock,
    random: systemRandom,
    signal: options.signal ?? new AbortController().signal,
    limit: limiter(atLeastOne('concurrency', options.concurrency ?? 16)),
    tally: { created: 0, updated: 0, deleted: 0 },
    emit: options.onEvent ?? (() => {}),
  };
}

/** With none a run would end before it began, or never begin. */
function atLeastOne(what: string, value: number): number {
  if (value >= 1) return value;
  throw new Failure(`${what} is ${value}`, {
    exitCode: EXIT.usage,
    fix: 'let it be 1 or more, or leave it out',
  });
}

function hydrated({ architecture }: Loaded, environment: string | undefined): Hydrated {
  try {
    return hydrate(architecture, { environment });
  } catch (error) {
    if (error instanceof UnknownEnvironment) throw new Failure(error.message, { exitCode: EXIT.usage });
    throw error;
  }
}

function demandDataflow(architecture: Hydrated, name: string | undefined): void {
  const known = Object.keys(architecture.dataflows).filter(
    (one) => one !== architecture.director.infrastructure,
  );
  if (name === undefined || known.includes(name)) return;
  throw new Failure(`There is no dataflow "${name}"`, {
    exitCode: EXIT.usage,
    fix: `the architecture has: ${known.join(', ')}`,
  });
}

/** The conductor's own program: what runs in the background is started with it. */
function programOf(): string {
  const here = fileURLToPath(import.meta.url);
  // Bundled, it stands beside the chunk that this is in.
  return join(dirname(here), here.endsWith('.ts') ? 'main.ts' : 'main.js');
}
