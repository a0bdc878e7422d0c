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
import { type DirectorHttp, directorHttp, type Stack } from './director-http.ts';
import { type DirectorStatus, directorStatus } from './director-status.ts';
import { Failure } from './failure.ts';
import { observeService, observeUnit, type ResourceStatus, type ServiceStatus } from './observe.ts';
import { findWorld, type World } from './phases/preflight.ts';
import { type LastCommand, MOST_SHOWN, newestOf, type Running, runningAt } from './under-way.ts';

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
  /** Whether it is at more than these. */
  readonly hasMoreRunning: boolean;
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

/**
 * `limit`: how much of what is under way, at most. Rejects with a Failure only when nothing can be seen at all: the
 * project is not there, or not for us.
 */
export async function status(context: RunContext, limit = MOST_SHOWN): Promise<Status> {
  const { architecture } = context;
  const world = await findWorld(context);
  const [director, infrastructure, seen] = await Promise.all([
    directorStatus(context),
    observeAll(infrastructureUnits(architecture, world), [], context),
    Promise.all(dataflowsOf(context).map((dataflow) => observeDataflow(dataflow, world, context))),
  ]);
  const told = await tellOf(director, seen, limit, context);
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
    hasMoreRunning: told.hasMore,
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
  readonly hasMore: boolean;
  readonly notes: readonly string[];
}

async function tellOf(
  { state, url }: DirectorStatus,
  seen: readonly DataflowStatus[],
  limit: number,
  context: RunContext,
): Promise<Told> {
  const nothing: Told = { dataflows: new Map(), running: [], hasMore: false, notes: [] };
  if (url === undefined || (state !== 'ready' && state !== 'not-ready')) return nothing;
  const director = directorHttp(url, context);
  try {
    const [stacks, underWay] = await Promise.all([director.stacks(), runningAt(director, limit)]);
    const dataflows = await Promise.all(
      seen.map(async ({ name, stack }) => {
        const last = await newestOf(stack, director);
        const modules = await modulesOf(name, stacks, director, context);
        return [stack, { ...versionOf(stack, stacks), ...(last ? { last } : {}), modules }] as const;
      }),
    );
    return { dataflows: new Map(dataflows), ...underWay, notes: [] };
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
