/** What there is in a project: every resource with its policy, without what differs by the moment it was made. */
import { PROJECT, REGION, type World } from './world.ts';

/** By kind and name: `topic/orders`. Names and values are without the prefix that was asked for. */
export type Inventory = Readonly<Record<string, object>>;

type Fields = Readonly<Record<string, unknown>>;

/** All resources whose names begin so. */
export async function inventoryOf(world: World, prefix: string): Promise<Inventory> {
  const parent = `projects/${PROJECT}/locations/${REGION}`;
  const [topics, subscriptions, buckets, accounts, services] = await Promise.all([
    list(world, `/v1/projects/${PROJECT}/topics?pageSize=1000`, 'topics'),
    list(world, `/v1/projects/${PROJECT}/subscriptions?pageSize=1000`, 'subscriptions'),
    list(world, `/storage/v1/b?project=${PROJECT}&maxResults=1000`, 'items'),
    list(world, `/v1/projects/${PROJECT}/serviceAccounts?pageSize=100`, 'accounts'),
    list(world, `/v2/${parent}/services?pageSize=1000`, 'services'),
  ]);
  const found = await Promise.all([
    ...topics.map((live) => read(world, 'topic', live, `/v1/${live.name}:getIamPolicy`)),
    ...subscriptions.map((live) => read(world, 'subscription', live, `/v1/${live.name}:getIamPolicy`)),
    ...buckets.map((live) => read(world, 'bucket', live, `/storage/v1/b/${live.name}/iam`)),
    ...accounts.map((live) => read(world, 'account', live, `/v1/${live.name}:getIamPolicy`, 'POST')),
    ...services.map(async (live) => {
      const [id, known] = await read(world, 'service', live, `/v2/${live.name}:getIamPolicy`);
      const revisions = await list(world, `/v2/${live.name}/revisions`, 'revisions');
      return [id, { ...known, revisions: revisions.length }] as const;
    }),
  ]);
  const mine = found.filter(([id]) => id.split('/')[1]?.startsWith(prefix));
  return JSON.parse(JSON.stringify(Object.fromEntries(mine.sort())).replaceAll(prefix, ''));
}

/** A copy without the prefix, whatever its case, and without moments and ports: what two runs can have in common. */
export function comparable<T>(value: T, prefix: string): T {
  const text = JSON.stringify(value)
    .replaceAll(prefix, '')
    .replaceAll(prefix.toUpperCase().replaceAll('-', '_'), '')
    .replaceAll(/"\d{4}-\d\d-\d\dT[\d:.]+Z"/g, '"then"')
    .replaceAll(/127\.0\.0\.1:\d+/g, 'here');
  return JSON.parse(text);
}

async function list(world: World, path: string, field: string): Promise<Fields[]> {
  const answer = (await world.call('GET', path)) as Record<string, Fields[] | undefined>;
  return answer[field] ?? [];
}

async function read(
  world: World,
  kind: string,
  live: Fields,
  policyPath: string,
  method = 'GET',
): Promise<readonly [string, object]> {
  const { bindings = [] } = (await world.call(method, policyPath)) as { bindings?: object[] };
  const name = String(live.email ?? live.name)
    .split('/')
    .at(-1);
  const lasting = Object.entries(live).filter(
    // A bucket's generation is the moment at which it was made; a service's counts its changes.
    ([field]) => !PASSING.has(field) && !(kind === 'bucket' && field === 'generation'),
  );
  return [`${kind}/${name}`, { ...Object.fromEntries(lasting), bindings }];
}

/** Times, ids, addresses: of the thing itself, and not of what it was asked to be. */
const PASSING: ReadonlySet<string> = new Set([
  'conditions',
  'createTime',
  'etag',
  'latestCreatedRevision',
  'latestReadyRevision',
  'metageneration',
  'oauth2ClientId',
  'terminalCondition',
  'timeCreated',
  'trafficStatuses',
  'uid',
  'uniqueId',
  'updateTime',
  'updated',
  'uri',
  'urls',
]);
