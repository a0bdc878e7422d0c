/** An architecture beside what is there: the director, services, resources, and what is being done to them. */
import { infrastructureUnits } from '@service-director/shared/engine/infrastructure.ts';
import { unitsOf } from '@service-director/shared/engine/units.ts';
import type { HydratedDataflow } from '@service-director/shared/model/hydrate.ts';
import {
  type StackId,
  stackOf,
  type Unit,
  type UnitId,
  unitId,
} from '@service-director/shared/model/unit.ts';
import { dataflowsOf, type RunContext } from './context.ts';
import {
  type CommandBrief,
  type CommandDetail,
  type DirectorHttp,
  directorHttp,
  type JournalLine,
  type Stack,
} from './director-http.ts';
import { type DirectorStatus, directorStatus } from './director-status.ts';
import { Failure } from './failure.ts';
import { observeService, observeUnit, type ResourceStatus, type ServiceStatus } from './observe.ts';
import { findWorld, type World } from './phases/preflight.ts';

export interface Status {
  /** The architecture's name, with its environment where one was chosen. */
  readonly architecture: string;
  readonly project: string;
  readonly director: DirectorStatus;
  /** What the director stands on. */
  readonly infrastructure: readonly ResourceStatus[];
  readonly dataflows: readonly DataflowStatus[];
  /** Whatever the director is at, of other architectures too; oldest first. */
  readonly running: readonly Running[];
  /** What could not be found out. */
  readonly notes: readonly string[];
  /** Nothing is there of all that is described: it was not stood up yet, or was taken down. */
  readonly isEmpty: boolean;
  /** Whether everything is there and ready. */
  readonly isWell: boolean;
}

export interface DataflowStatus {
  readonly name: string;
  readonly stack: StackId;
  /** Of its state; undefined before its first setup, and when the director does not tell. */
  readonly version?: number;
  readonly services: readonly ServiceStatus[];
  readonly resources: readonly ResourceStatus[];
  /** The newest command that has ended; dry runs do not count. */
  readonly last?: LastCommand;
}

export interface LastCommand {
  readonly id: string;
  readonly type: string;
  readonly status: string;
  /** RFC 3339. */
  readonly endedAt: string;
}

/** A deployment that has not ended; or a command that has none yet. */
export interface Running {
  readonly command: string;
  readonly type: string;
  readonly stack?: string;
  /** `accepted`, `queued`, `waiting_for_lock`, `planning`, `applying`. */
  readonly status: string;
  /** Since when it has had this status, RFC 3339. */
  readonly since: string;
  /** What is being worked on, and what it waits for. */
  readonly units: readonly { readonly unit: string; readonly waiting?: string }[];
}

/** Rejects with a Failure only when nothing can be seen at all: the project is not there, or not for us. */
export async function status(context: RunContext): Promise<Status> {
  const { architecture } = context;
  const world = await findWorld(context);
  const [director, infrastructure, seen] = await Promise.all([
    directorStatus(context),
    observeAll(infrastructureUnits(architecture, world), [], context),
    Promise.all(dataflowsOf(context).map((dataflow) => observeDataflow(dataflow, world, context))),
  ]);
  const told = await tellOf(director, seen, context);
  const dataflows = seen.map((dataflow) => {
    const { modules, ...more } = told.dataflows.get(dataflow.stack) ?? { modules: undefined };
    const resources = [...dataflow.resources, ...(modules ?? unseenModules(dataflow.name, context))];
    return { ...dataflow, ...more, resources };
  });
  const resources = [...infrastructure, ...dataflows.flatMap((dataflow) => dataflow.resources)];
  const services = dataflows.flatMap((dataflow) => dataflow.services);
  return {
    architecture: architecture.scope,
    project: architecture.project_id,
    director,
    infrastructure,
    dataflows,
    running: told.running,
    notes: told.notes,
    isEmpty:
      director.state === 'missing' &&
      [...resources.filter(({ unit }) => !unit.startsWith('apis/')), ...services].every(
        ({ state }) => state === 'missing' || state === 'foreign',
      ),
    isWell:
      director.state === 'ready' &&
      told.notes.length === 0 &&
      resources.every(({ state }) => state === 'present') &&
      services.every(({ state }) => state === 'ready'),
  };
}

async function observeDataflow(
  dataflow: HydratedDataflow,
  world: World,
  context: RunContext,
): Promise<DataflowStatus> {
  const { architecture } = context;
  const owner = { scope: architecture.scope, dataflow: dataflow.name };
  const services = await Promise.all(
    Object.values(dataflow.services).map((service) => observeService(service, owner, context)),
  );
  // With the images that run, so that the grants on services are among the units.
  const images = Object.fromEntries(
    services.flatMap(({ name, image }) => (image === undefined ? [] : [[name, image]])),
  );
  const units = unitsOf(architecture, dataflow, { ...world, images });
  return {
    name: dataflow.name,
    stack: stackOf(owner),
    services,
    resources: await observeAll(units, services, context),
  };
}

function observeAll(
  units: readonly Unit[],
  services: readonly ServiceStatus[],
  context: RunContext,
): Promise<ResourceStatus[]> {
  const outputs = new Map(
    services.flatMap(({ name, url }) => (url === undefined ? [] : [[unitId('service', name), { uri: url }]])),
  );
  // Of what another tool makes only the director knows.
  const resources = units.filter(({ kind, engine }) => kind !== 'service' && engine === 'gcp');
  return Promise.all(resources.map((unit) => observeUnit(unit, outputs, context)));
}

/** What the director knows that the cloud does not. */
interface Told {
  readonly dataflows: ReadonlyMap<
    StackId,
    Pick<DataflowStatus, 'version' | 'last'> & { readonly modules: ResourceStatus[] }
  >;
  readonly running: readonly Running[];
  readonly notes: readonly string[];
}

async function tellOf(
  { state, url }: DirectorStatus,
  seen: readonly DataflowStatus[],
  context: RunContext,
): Promise<Told> {
  const nothing: Told = { dataflows: new Map(), running: [], notes: [] };
  if (url === undefined || (state !== 'ready' && state !== 'not-ready')) return nothing;
  const director = remembering(directorHttp(url, context));
  try {
    const [stacks, commands] = await Promise.all([director.stacks(), director.commands()]);
    const running = await Promise.all(
      commands.filter(({ ended_at }) => ended_at === undefined).map(({ id }) => director.command(id)),
    );
    const dataflows = await Promise.all(
      seen.map(async ({ name, stack }) => {
        const last = await lastCommand(name, stack, commands, director);
        const modules = await modulesOf(name, stacks, director, context);
        return [stack, { ...versionOf(stack, stacks), ...(last ? { last } : {}), modules }] as const;
      }),
    );
    return { dataflows: new Map(dataflows), running: running.flatMap(runningOf), notes: [] };
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason;
    return { ...nothing, notes: [Failure.from(error, 'asking the director').message] };
  }
}

function modulesIn(dataflow: string, context: RunContext): UnitId[] {
  const found = dataflowsOf(context).find(({ name }) => name === dataflow);
  return Object.keys(found?.modules ?? {}).map((name) => unitId('module', name));
}

function unseenModules(dataflow: string, context: RunContext): ResourceStatus[] {
  return modulesIn(dataflow, context).map((unit) => ({
    unit,
    state: 'unknown',
    because: 'the director did not tell of it',
  }));
}

/** As the director's state has them. */
async function modulesOf(
  dataflow: string,
  stacks: readonly Stack[],
  director: DirectorHttp,
  context: RunContext,
): Promise<ResourceStatus[]> {
  const modules = modulesIn(dataflow, context);
  if (modules.length === 0) return [];
  const owner = { scope: context.architecture.scope, dataflow };
  const isKnown = stacks.some(({ stack }) => stack === stackOf(owner));
  const made = new Set(isKnown ? (await director.stack(owner)).units.map(({ id }) => id) : []);
  return modules.map((unit) => ({ unit, state: made.has(unit) ? 'present' : 'missing' }));
}

function versionOf(stack: StackId, stacks: readonly Stack[]): { version?: number } {
  const version = stacks.find((one) => one.stack === stack)?.version;
  return version === undefined ? {} : { version };
}

/** Dataflows of other architectures may bear the same name: only its deployments tell whose a command was. */
async function lastCommand(
  name: string,
  stack: StackId,
  commands: readonly CommandBrief[],
  director: DirectorHttp,
): Promise<LastCommand | undefined> {
  const candidates = commands
    .filter(({ dataflow, dry_run }) => (dataflow === name || dataflow === 'all') && !dry_run)
    .flatMap(({ id, type, status: ended, ended_at }) =>
      type === undefined || ended_at === undefined ? [] : [{ id, type, status: ended, endedAt: ended_at }],
    )
    .sort((a, b) => (a.endedAt < b.endedAt ? 1 : -1));
  for (const candidate of candidates) {
    const { deployments } = await director.command(candidate.id);
    if (deployments.some((deployment) => deployment.stack === stack)) return candidate;
  }
  return undefined;
}

/** Asks for the details of a command once. */
function remembering(director: DirectorHttp): DirectorHttp {
  const known = new Map<string, Promise<CommandDetail>>();
  return {
    ...director,
    command(id) {
      const answer = known.get(id) ?? director.command(id);
      known.set(id, answer);
      return answer;
    },
  };
}

const ENDED: ReadonlySet<string> = new Set(['succeeded', 'failed', 'cancelled']);

function runningOf({
  id,
  type = 'command',
  status: now,
  received_at,
  deployments,
  events,
}: CommandDetail): Running[] {
  if (deployments.length === 0) return [{ command: id, type, status: now, since: received_at, units: [] }];
  return deployments
    .filter((deployment) => !ENDED.has(deployment.status))
    .map(({ stack, status: step }) => {
      const mine = events.filter((event) => event.stack === stack);
      const since = mine.findLast((event) => event.type === 'status')?.at ?? received_at;
      return { command: id, type, stack, status: step, since, units: underWay(mine) };
    });
}

/** What was begun, or waits to begin, and has not been finished. */
function underWay(events: readonly JournalLine[]): Running['units'] {
  const units = new Map<string, string | undefined>();
  for (const event of events) {
    if (event.type === 'intend') units.set(event.unit, undefined);
    if (event.type === 'waiting') units.set(event.unit, event.because);
    if (event.type === 'finish') units.delete(event.unit);
  }
  return [...units].map(([unit, waiting]) => (waiting === undefined ? { unit } : { unit, waiting }));
}
