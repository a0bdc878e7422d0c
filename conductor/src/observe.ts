/** What is there in the cloud of that which is described: read by the kinds themselves, and nothing touched. */
import { CloudError, found } from '@service-director/shared/cloud/error.ts';
import type { HydratedDirector, HydratedService } from '@service-director/shared/model/hydrate.ts';
import {
  type Outputs,
  type Owner,
  resolve,
  stackOf,
  type Unit,
  type UnitId,
} from '@service-director/shared/model/unit.ts';
import { type KindName, kinds } from '@service-director/shared/resources/index.ts';
import type { Observation } from '@service-director/shared/resources/kind.ts';
import { ownerOfLabels } from '@service-director/shared/resources/mark.ts';
import type { run_v2 } from 'googleapis/build/src/apis/run/v2.js';
import type { RunContext } from './context.ts';

export interface ServiceStatus {
  readonly name: string;
  /** `foreign`: there is one of that name that is not ours; `unknown`: we cannot tell. */
  readonly state: 'ready' | 'not-ready' | 'missing' | 'foreign' | 'unknown';
  /** Why, where it is not ready; of one that is, what is to be known beside. */
  readonly because?: string;
  /** The API that is not enabled, without which there is nothing of it. */
  readonly disabledApi?: string;
  readonly url?: string;
  /** The one that most of the requests go to. */
  readonly revision?: string;
  /** By digest. */
  readonly image?: string;
}

export interface ResourceStatus {
  readonly unit: string;
  /** `unfit`: it is there, and would have to be replaced. */
  readonly state: 'present' | 'missing' | 'foreign' | 'unfit' | 'unknown';
  readonly because?: string;
  /** The API that is not enabled, without which there is nothing of it. */
  readonly disabledApi?: string;
  /** What of one that is present is not as described; a plan says how. */
  readonly differs?: readonly string[];
}

type Deployable = Pick<HydratedService | HydratedDirector, 'name' | 'deployment'>;

/** Never rejects but for the end of the run: what cannot be seen is `unknown`, with the reason. */
export async function observeService(
  { name, deployment }: Deployable,
  owner: Owner,
  { reach, limit, signal }: RunContext,
): Promise<ServiceStatus> {
  const { cloud } = reach;
  const path = `projects/${cloud.project}/locations/${deployment.region}/services/${name}`;
  try {
    const run = await cloud.run();
    const answer = await limit.run(() => found(run.projects.locations.services.get({ name: path })));
    if (!answer) return { name, state: 'missing' };
    return serviceStatus(name, answer.data, owner);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    return { name, ...unseen(error) };
  }
}

function serviceStatus(
  name: string,
  live: run_v2.Schema$GoogleCloudRunV2Service,
  owner: Owner,
): ServiceStatus {
  const newest = live.latestReadyRevision?.split('/').at(-1);
  const old = servingInstead(live);
  const revision = old ?? newest;
  const image = old === undefined ? live.template?.containers?.[0]?.image : undefined;
  const because = strangerTo(owner, ownerOfLabels(live.labels));
  const seen = {
    name,
    ...(live.uri ? { url: live.uri } : {}),
    ...(revision ? { revision } : {}),
    ...(image ? { image } : {}),
  };
  if (because !== undefined) return { ...seen, state: 'foreign', because };
  const trouble = troubleOf(live);
  if (trouble !== undefined) return { ...seen, state: 'not-ready', because: trouble };
  return { ...seen, state: 'ready', ...(old === undefined ? {} : { because: notServing(live, newest) }) };
}

/** The revision that more of the requests go to by its name than to the newest: of a rollout on its way, or gone back. */
function servingInstead({ traffic }: run_v2.Schema$GoogleCloudRunV2Service): string | undefined {
  const most = (traffic ?? []).toSorted((one, other) => (other.percent ?? 0) - (one.percent ?? 0))[0];
  return most?.revision ?? undefined;
}

function notServing(
  { traffic, trafficStatuses }: run_v2.Schema$GoogleCloudRunV2Service,
  newest = 'the newest revision',
): string {
  const percent = (traffic ?? []).find(({ revision }) => !revision)?.percent ?? 0;
  const uri = trafficStatuses?.find(({ tag }) => tag === 'rejected')?.uri;
  if (percent > 0) return `${percent} % of the requests go to ${newest}`;
  return `no request goes to ${newest}, which was ${uri ? `rejected and is at ${uri}` : 'not let on yet'}`;
}

function troubleOf(live: run_v2.Schema$GoogleCloudRunV2Service): string | undefined {
  const { terminalCondition, latestReadyRevision, latestCreatedRevision, reconciling } = live;
  if (reconciling) return 'Cloud Run is still working on a change';
  if (terminalCondition?.state !== 'CONDITION_SUCCEEDED')
    return terminalCondition?.message ?? terminalCondition?.state ?? 'it has no condition yet';
  if (latestReadyRevision === latestCreatedRevision) return undefined;
  return `its newest revision, ${latestCreatedRevision?.split('/').at(-1)}, does not serve`;
}

/** `outputs` are those of the units that it refers to. Never rejects but for the end of the run. */
export async function observeUnit(
  unit: Unit,
  outputs: ReadonlyMap<UnitId, Outputs>,
  { reach, architecture, limit, signal }: RunContext,
): Promise<ResourceStatus> {
  const { id, kind, owner } = unit;
  try {
    const spec = resolve(unit.spec, (need) => outputs.get(need));
    const scope = { project: architecture.project_id, region: architecture.region };
    const resource = kinds[kind as KindName].bind(spec, owner, scope);
    const seen = await limit.run(() => resource.observe(reach.cloud));
    return { unit: id, ...unitStatus(kind, owner, seen) };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    return { unit: id, ...unseen(error) };
  }
}

/** Kinds without a mark are lists of things that are each there or not: what is left to do is what is missing. */
const LISTS: ReadonlySet<string> = new Set(['apis', 'grants']);

function unitStatus(kind: string, owner: Owner, seen: Observation | undefined): Omit<ResourceStatus, 'unit'> {
  if (!seen) return { state: 'missing' };
  const because = strangerTo(owner, seen.owner);
  if (because !== undefined) return { state: 'foreign', because };
  const { change } = seen;
  if (change.action === 'replace') return { state: 'unfit', because: change.because };
  if (change.action !== 'update') return { state: 'present' };
  return LISTS.has(kind)
    ? { state: 'missing', because: change.fields.join(', ') }
    : { state: 'present', differs: change.fields };
}

/** Why a thing of the right name is not ours. */
function strangerTo(owner: Owner, seen: Observation['owner']): string | undefined {
  if (seen === 'unmarked') return undefined;
  if (seen === 'foreign') return 'it does not bear our mark';
  return stackOf(seen) === stackOf(owner) ? undefined : `it belongs to ${stackOf(seen)}`;
}

/** Where the whole API is off, nothing of it is there. */
function unseen(error: unknown): Pick<ResourceStatus, 'because' | 'disabledApi'> & {
  state: 'missing' | 'unknown';
} {
  const { reason, message, api } = CloudError.from(error);
  if (reason === 'api-disabled') return { state: 'missing', disabledApi: api ?? 'an API' };
  return { state: reason === 'not-found' ? 'missing' : 'unknown', because: message };
}
