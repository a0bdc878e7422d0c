/** What must hold of a state whatever was taken from it: all that is named is there, and all that is listed can be read. */
import {
  type BuildRecord,
  buildKeys,
  type PointerRecord,
} from '@service-director/director/dialects/builds/records.ts';
import { verifyChain } from '@service-director/director/store/audit.ts';
import {
  type AuditHead,
  type AuditRecord,
  type CommandRecord,
  type DeliveryRecord,
  type DeploymentRecord,
  keys,
  type QueueRecord,
  type VersionRecord,
} from '@service-director/director/store/records.ts';
import type { Collection, Store, Stored } from '@service-director/director/store/store.ts';
import { expect } from 'vitest';
import type { Door } from './dialects.ts';
import { contentsOf } from './old-state.ts';

/** Says what is wrong, where it is. */
type Demand = (is: boolean, what: string) => void;
type Has = (key: { readonly collection: string; readonly id: string }) => boolean;

/** What names something that is not there, and what is linked and does not follow; empty where all is well. */
export async function wrongIn(store: Store): Promise<string[]> {
  const contents = await contentsOf(store);
  const wrong: string[] = [];
  const demand: Demand = (is, what) => void (is || wrong.push(what));
  const all = <T>(collection: Collection): readonly Stored<T>[] =>
    [...contents.values()].flatMap((one) =>
      one.collection === collection ? [one.row as Stored<object> as Stored<T>] : [],
    );
  const has: Has = ({ collection, id }) => contents.has(`${collection}/${id}`);

  for (const { id, value } of all<CommandRecord>('commands'))
    for (const one of value.deployments) demand(has(keys.deployment(one)), `${id} → ${one}`);
  for (const { id, value } of all<DeploymentRecord>('deployments')) {
    demand(has(keys.command(value.command)), `${id} → ${value.command}`);
    const by = value.rolledBackBy;
    demand(by === undefined || has(keys.deployment(by)), `${id} → ${by}`);
  }
  for (const { id } of all('journal'))
    demand(has(keys.deployment(id.slice(0, id.lastIndexOf('/')))), `the line ${id}`);
  for (const { id, value } of all<VersionRecord>('versions'))
    demand(has(keys.deployment(value.deployment)), `version ${id} → ${value.deployment}`);
  for (const { id, value } of all<QueueRecord>('queue'))
    demand(has(keys.deployment(value.deployment)), `queue ${id}`);
  for (const { id, value } of all<DeliveryRecord>('deliveries'))
    demand(
      value.deployment === undefined || has(keys.deployment(value.deployment)),
      `delivery ${id} → ${value.deployment}`,
    );
  demandBuilds(all<Partial<BuildRecord & PointerRecord>>('builds'), demand, has);
  for (const { id, value } of all<AuditHead>('audits')) {
    const rows = all<AuditRecord>('audit').filter((row) => row.id.slice(0, row.id.lastIndexOf('/')) === id);
    const broken = verifyChain(
      rows.map((row) => row.value),
      value,
    );
    demand(broken === undefined, `the trail ${id} is broken at ${broken}`);
  }
  return wrong;
}

/** Records of builds, and what leads to them. */
function demandBuilds(
  rows: readonly Stored<Partial<BuildRecord & PointerRecord>>[],
  demand: Demand,
  has: Has,
): void {
  for (const { id, value } of rows) {
    const { id: leadsTo, execution_name: name, execution_arn: arn } = value;
    demand(leadsTo === undefined || has(buildKeys.build(leadsTo)), `${id} leads to nothing`);
    const [, source] = /^promotion(\/\/.+)\/[^/]+$/.exec(id) ?? [];
    demand(source === undefined || has({ collection: 'builds', id: `of${source}` }), `${id} of what is gone`);
    demand(name === undefined || has(buildKeys.execution(name)), `${id} → ${name}`);
    const isRun = name !== undefined && arn !== undefined;
    demand(!isRun || has(keys.command(`build:${name}`)), `${id} → the command of ${name}`);
  }
}

/** All that is listed can be asked for. */
export async function demandReadable(door: Door): Promise<void> {
  const read = async (path: string): Promise<Awaited<ReturnType<Door['ask']>>['body']> => {
    const { status, body } = await door.ask('GET', path);
    expect(status, `${path}: ${JSON.stringify(body)}`).toBe(200);
    return body;
  };
  const { deployments } = await read('/v1/deployments?limit=100');
  for (const { id, rolled_back_by: by } of deployments) {
    await read(`/v1/deployments/${id}`);
    await read(`/v1/deployments/${id}/logs?limit=1000`);
    if (by !== undefined) await read(`/v1/deployments/${by}`);
  }
  const { commands } = await read('/v1/commands?limit=100');
  for (const { id } of commands) await read(`/v1/commands/${id}`);
  const { stacks } = await read('/v1/stacks?limit=100');
  for (const { stack } of stacks) {
    await read(`/v1/stacks/${stack}`);
    const { versions } = await read(`/v1/stacks/${stack}/history`);
    for (const { deployment } of versions) await read(`/v1/deployments/${deployment}`);
    for (const trail of ['audit', 'reads'])
      expect(await read(`/v1/stacks/${stack}/${trail}`)).toMatchObject({ intact: true });
  }
  await read('/api/v1/deployments?limit=100');
  await read('/api/deployments?limit=100');
  const { builds } = await read('/api/builds?limit=100');
  for (const { repo, env, sk } of builds) await read(`/api/builds/${repo}/${env}/${sk}`);
}
