/** Grants: beside those of others, taken back when stale, in turns with other writers, and done only once in effect. */
import type { Unit } from '@service-director/shared/model/unit.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Bench, type Done, type Json, LOCATION, openBench, PROJECT, unitOf } from './bench.ts';
import { service } from './cases/service.ts';

const emailOf = (id: string): string => `${id}@${PROJECT}.iam.gserviceaccount.com`;
const memberOf = (id: string): string => `serviceAccount:${emailOf(id)}`;

interface Binding {
  readonly role: string;
  readonly member: string;
}

function grantsOn(on: string, ...bindings: Binding[]): Unit {
  const name = `grants/${on.split('/').at(-1)}`;
  return unitOf('grants', {
    name,
    on,
    bindings: bindings.map((binding) => ({ ...binding, reason: 'a test' })),
  });
}

/** Each kind of resource that has a policy of its own, by how Google names it. */
const RESOURCES: Readonly<
  Record<string, { path: string; role: string; make?: (bench: Bench) => Promise<unknown> }>
> = {
  'a topic': {
    path: `projects/${PROJECT}/topics/granted`,
    role: 'roles/pubsub.publisher',
    make: (bench) => bench.ensure('PUT', `/v1/projects/${PROJECT}/topics/granted`, {}),
  },
  'a subscription': {
    path: `projects/${PROJECT}/subscriptions/granted`,
    role: 'roles/pubsub.subscriber',
    async make(bench) {
      const topic = `projects/${PROJECT}/topics/source`;
      await bench.ensure('PUT', `/v1/${topic}`, {});
      await bench.ensure('PUT', `/v1/projects/${PROJECT}/subscriptions/granted`, { topic });
    },
  },
  'a bucket': {
    path: 'buckets/granted',
    role: 'roles/storage.objectViewer',
    make: (bench) =>
      bench.ensure('POST', `/storage/v1/b?project=${PROJECT}`, {
        name: 'granted',
        iamConfiguration: { uniformBucketLevelAccess: { enabled: true } },
      }),
  },
  'a service account': {
    path: `projects/${PROJECT}/serviceAccounts/${emailOf('granted')}`,
    role: 'roles/iam.serviceAccountUser',
    make: (bench) =>
      bench.ensure('POST', `/v1/projects/${PROJECT}/serviceAccounts`, { accountId: 'granted' }),
  },
  'a service': {
    path: `${LOCATION}/services/granted`,
    role: 'roles/run.invoker',
    make: (bench) => service.stranger?.('granted', bench) ?? Promise.resolve(),
  },
  'a repository': {
    path: `${LOCATION}/repositories/images`,
    role: 'roles/artifactregistry.reader',
    make: (bench) =>
      bench.ensure('POST', `/v1/${LOCATION}/repositories?repositoryId=images`, { format: 'DOCKER' }),
  },
  'a project': { path: `projects/${PROJECT}`, role: 'roles/browser' },
};

/** As it stands, by role, with `if` where there is a condition. */
function bindingsOf(on: string, bench: Bench): string[] {
  return bench.running.cloud.iam
    .policy(on, 3)
    .bindings.flatMap(({ role, members, condition }) =>
      members.map((member) => `${member} ${role}${condition ? ' if' : ''}`),
    );
}

describe('beside those of others', () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await openBench();
    for (const accountId of ['worker', 'helper', 'granted'])
      await bench.ensure('POST', `/v1/projects/${PROJECT}/serviceAccounts`, { accountId });
    await RESOURCES['a repository']?.make?.(bench);
  });
  afterAll(async () => {
    await bench.end();
  });

  test.each(Object.entries(RESOURCES))('on %s: given, stale ones taken back, removed', async (_, on) => {
    const { path, role, make } = on;
    await make?.(bench);
    const { iam } = bench.running.cloud;
    const condition = { title: 'a while', expression: 'request.time < timestamp("2099-01-01T00:00:00Z")' };
    const others = [
      ...iam.policy(path, 3).bindings,
      { role, members: ['user:ann@example.com', memberOf('helper')] },
      { role: 'roles/viewer', members: ['user:bob@example.com'] },
      { role, members: [memberOf('worker')], condition },
    ];
    iam.setPolicy(path, { bindings: others, version: 3 });
    const before = bindingsOf(path, bench);
    const worker = { role, member: memberOf('worker') };
    const helper = { role: 'roles/viewer', member: memberOf('helper') };

    const both = grantsOn(path, worker, helper);
    const given = await bench.apply(both);
    expect(given.outcome.status).toBe('done');
    const gained = [worker, helper].map(({ member, role }) => `${member} ${role}`);
    expect(given.planned.change).toEqual({ action: 'update', fields: gained });
    expect(bindingsOf(path, bench).sort()).toEqual([...before, ...gained].sort());

    const one = grantsOn(path, worker);
    const taken = await bench.apply(one, { prior: given.state });
    expect(taken.planned.change).toEqual({ action: 'update', fields: [`-${gained[1]}`] });
    expect(taken.calls).toHaveLength(1);
    expect(bindingsOf(path, bench).sort()).toEqual([...before, gained[0]].sort());

    expect((await bench.destroy(one)).outcome).toMatchObject({
      status: 'done',
      change: { action: 'delete' },
    });
    expect(bindingsOf(path, bench).sort()).toEqual(before.sort());
    expect((await bench.destroy(one)).calls).toEqual([]);
  });

  test('what others took away already is not taken back again', async () => {
    const path = await topic('twice', bench);
    const worker = { role: 'roles/pubsub.viewer', member: memberOf('worker') };
    const given = await bench.apply(grantsOn(path, worker));
    bench.running.cloud.iam.setPolicy(path, { bindings: [] });
    const { planned, calls } = await bench.apply(grantsOn(path), { prior: given.state });
    expect([planned.change, calls]).toEqual([{ action: 'none' }, []]);
  });

  test('a writer in between is not written over', async () => {
    const path = await topic('raced', bench);
    const { iam } = bench.running.cloud;
    const worker = { role: 'roles/pubsub.publisher', member: memberOf('worker') };
    let writes = 0;
    const { outcome, calls } = await bench.apply(grantsOn(path, worker), {
      context: {
        // After the look and before the write, twice.
        async record() {
          if (++writes > 2) return;
          const { bindings } = iam.policy(path);
          iam.setPolicy(path, {
            bindings: [
              ...bindings,
              { role: 'roles/pubsub.viewer', members: [`user:w${writes}@example.com`] },
            ],
          });
        },
      },
    });
    expect(outcome.status).toBe('done');
    expect(calls).toEqual(['SetIamPolicy', 'SetIamPolicy', 'SetIamPolicy']);
    expect(bindingsOf(path, bench).sort()).toEqual([
      `${memberOf('worker')} roles/pubsub.publisher`,
      'user:w1@example.com roles/pubsub.viewer',
      'user:w2@example.com roles/pubsub.viewer',
    ]);
  });

  test('eight of ours at once on one resource all come through', async () => {
    const path = await topic('crowded', bench);
    const members = Array.from({ length: 8 }, (_, at) => `user:m${at}@example.com`);
    const applied = await Promise.all(
      members.map((member) => bench.apply(grantsOn(path, { role: 'roles/pubsub.viewer', member }))),
    );
    expect(applied.map(({ outcome }) => outcome.status)).toEqual(members.map(() => 'done'));
    expect(bindingsOf(path, bench).sort()).toEqual(members.map((member) => `${member} roles/pubsub.viewer`));
  });

  test('on what is not there they are refused by name; to take them back there is success', async () => {
    const path = `projects/${PROJECT}/topics/absent`;
    const unit = grantsOn(path, { role: 'roles/pubsub.viewer', member: 'user:ann@example.com' });
    const { outcome, calls } = await bench.apply(unit);
    expect(outcome).toMatchObject({
      status: 'failed',
      error: { reason: 'refused', message: `there is no ${path} to grant anything on` },
    });
    expect(calls).toEqual([]);
    expect((await bench.destroy(unit)).outcome).toMatchObject({ status: 'done', change: { action: 'none' } });
  });

  test('made a moment ago, they are gone with what they are on; a topic that does not show is looked for again', async () => {
    const changedAt = Date.now();
    const grants = grantsOn(`projects/${PROJECT}/topics/absent`, {
      role: 'roles/pubsub.viewer',
      member: 'user:ann@example.com',
    });
    expect((await bench.destroy(grants, { changedAt })).waits).toEqual([]);
    const topic = unitOf('topic', { name: 'absent', labels: {}, messageRetentionDuration: '600s' });
    const { waits, told, outcome } = await bench.destroy(topic, { changedAt });
    expect(waits.length).toBeGreaterThan(0);
    expect(told[0]).toContain('was made a moment ago and does not show');
    expect(outcome.status).toBe('done');
  });

  test('a role that does not exist is refused by Google, once', async () => {
    const path = await topic('odd', bench);
    const { outcome, calls } = await bench.apply(
      grantsOn(path, { role: 'roles/pubsub.wizard', member: memberOf('worker') }),
    );
    expect(outcome).toMatchObject({
      status: 'failed',
      error: { reason: 'invalid', message: expect.stringContaining('roles/pubsub.wizard') },
    });
    expect(calls).toEqual(['SetIamPolicy']);
  });
});

describe('until they are in effect', () => {
  const PROPAGATION = 60_000;
  const PUBLISH = 'pubsub.topics.publish';
  let bench: Bench;

  beforeAll(async () => {
    bench = await openBench({ propagationMs: PROPAGATION });
    for (const accountId of ['worker', 'closed', 'deployer'])
      await bench.call('POST', `/v1/projects/${PROJECT}/serviceAccounts`, { accountId });
    bench.pass(PROPAGATION);
    for (const id of ['worker', 'deployer']) {
      const path = `projects/${PROJECT}/serviceAccounts/${emailOf(id)}`;
      const binding = {
        role: 'roles/iam.serviceAccountTokenCreator',
        members: ['user:developer@example.com'],
      };
      await bench.call('POST', `/v1/${path}:setIamPolicy`, { policy: { bindings: [binding] } });
    }
    bench.pass(PROPAGATION);
  });
  afterAll(async () => {
    await bench.end();
  });

  function mayPublish(id: string, path: string): boolean {
    const identity = { type: 'serviceAccount', email: emailOf(id) } as const;
    return bench.running.cloud.iam.test(identity, [PUBLISH], path).length > 0;
  }

  const publisher = (id: string): Binding => ({ role: 'roles/pubsub.publisher', member: memberOf(id) });

  test('one is done when its member may really do it, and tells what it waits for', async () => {
    const path = await topic('awaited', bench);
    const story: string[] = [];
    const { outcome, state, calls } = await bench.apply(grantsOn(path, publisher('worker')), {
      context: {
        waiting(because) {
          story.push(because, `may publish: ${mayPublish('worker', path)}`);
          bench.pass(PROPAGATION);
        },
      },
    });
    story.push('done', `may publish: ${mayPublish('worker', path)}`);
    expect(story).toEqual([
      `roles/pubsub.publisher of worker on ${path} to take effect`,
      'may publish: false',
      'done',
      'may publish: true',
    ]);
    expect(outcome).toMatchObject({ status: 'done', outputs: { effective: 'true' } });
    expect(calls).toEqual(['SetIamPolicy']);

    // What was seen in effect is not asked again.
    const { calls: all } = bench.running.cloud;
    const before = all.since(0).at(-1)?.number ?? 0;
    const again = await bench.apply(grantsOn(path, publisher('worker')), { prior: state });
    expect(again.planned.unverified).toBeUndefined();
    expect(all.since(before).map(({ method }) => method)).toEqual(['GetIamPolicy', 'GetIamPolicy']);
  });

  test('one is seen in effect three times in a row before it counts (G12)', async () => {
    const path = await topic('wavering', bench);
    const { iam } = bench.running.cloud;
    const { role, member } = publisher('worker');
    const answers: boolean[] = [];
    const { outcome } = await bench.apply(grantsOn(path, publisher('worker')), {
      context: {
        waiting: () => bench.pass(PROPAGATION),
        async limit(_api, call) {
          const answer = await call();
          if (typeof answer !== 'boolean') return answer;
          answers.push(answer);
          // As if some of Google's replicas did not know of it yet.
          if (answers.length === 3) iam.setPolicy(path, { bindings: [] }, 0);
          if (answers.length === 4) iam.setPolicy(path, { bindings: [{ role, members: [member] }] }, 0);
          return answer;
        },
      },
    });
    expect(answers).toEqual([false, true, true, false, true, true, true]);
    expect(outcome).toMatchObject({ status: 'done', outputs: { effective: 'true' } });
  });

  test('one that was given and not seen in effect is waited for by the next apply, without a write', async () => {
    const path = await topic('impatient', bench);
    const unit = grantsOn(path, publisher('worker'));
    const first = await bench.apply(unit, { context: { patience: { propagating: 1_000 } } });
    expect(first.outcome).toMatchObject({
      status: 'failed',
      error: {
        reason: 'propagating',
        message: `waited 1 s for roles/pubsub.publisher of worker on ${path} to take effect`,
        fix: 'run it again; what is granted stays granted',
      },
    });
    const second = await bench.apply(unit, {
      prior: first.state,
      context: { waiting: () => bench.pass(PROPAGATION) },
    });
    expect(second.planned).toMatchObject({ change: { action: 'none' }, unverified: true });
    expect(second.outcome).toMatchObject({ status: 'done', outputs: { effective: 'true' } });
    expect([second.calls, second.told]).toEqual([[], [expect.stringContaining('to take effect')]]);
  });

  test('a member that we may not act as is given what it needs, unconfirmed', async () => {
    const path = await topic('closed', bench);
    const { outcome, told, planned } = await bench.apply(grantsOn(path, publisher('closed')));
    expect(planned.unverified).toBe(true);
    expect(outcome).toMatchObject({ status: 'done', outputs: { effective: 'false' } });
    expect(told).toEqual([]);
    expect(mayPublish('closed', path)).toBe(false);
  });

  test('people are not asked either, and one member unconfirmed leaves all unconfirmed', async () => {
    const path = await topic('mixed', bench);
    const ann = { role: 'roles/pubsub.viewer', member: 'user:ann@example.com' };
    const { outcome, told } = await bench.apply(grantsOn(path, publisher('worker'), ann), {
      context: { waiting: () => bench.pass(PROPAGATION) },
    });
    expect(outcome).toMatchObject({ status: 'done', outputs: { effective: 'false' } });
    expect(told).toEqual([`roles/pubsub.publisher of worker on ${path} to take effect`]);
    expect(mayPublish('worker', path)).toBe(true);
  });

  test('what is granted to ourselves we ask as ourselves', async () => {
    const path = await topic('selfish', bench);
    const { iam } = bench.running.cloud;
    const project = `projects/${PROJECT}`;
    const { bindings } = iam.policy(project);
    const admin = { role: 'roles/iam.securityAdmin', members: [memberOf('deployer')] };
    iam.setPolicy(project, { bindings: [...bindings, admin] }, 0);
    const cloud = bench.cloud.as(emailOf('deployer'));
    const { outcome, told } = await bench.apply(grantsOn(path, publisher('deployer')), {
      context: { cloud, self: emailOf('deployer'), waiting: () => bench.pass(PROPAGATION) },
    });
    expect(outcome).toMatchObject({ status: 'done', outputs: { effective: 'true' } });
    expect(told).toEqual([`roles/pubsub.publisher of deployer on ${path} to take effect`]);
    expect(mayPublish('deployer', path)).toBe(true);
  });

  test('an account that Google does not know yet is awaited before it is granted anything (G7)', async () => {
    const path = await topic('newcomer', bench);
    await bench.call('POST', `/v1/projects/${PROJECT}/serviceAccounts`, { accountId: 'newcomer' });
    const { outcome, told } = await bench.apply(grantsOn(path, publisher('newcomer')), {
      context: { waiting: () => bench.pass(PROPAGATION) },
    });
    expect(told[0]).toBe(`Service account ${emailOf('newcomer')} does not exist.`);
    expect(outcome.status).toBe('done');
    expect(bindingsOf(path, bench)).toEqual([`${memberOf('newcomer')} roles/pubsub.publisher`]);
  });

  test('a cancel ends the wait, and what was granted stays', async () => {
    const path = await topic('cancelled', bench);
    const abort = new AbortController();
    const { outcome }: Pick<Done, 'outcome'> = await bench.apply(grantsOn(path, publisher('worker')), {
      context: { signal: abort.signal, waiting: () => abort.abort(new Error('enough')) },
    });
    expect(outcome).toEqual({ status: 'cancelled' });
    expect(bindingsOf(path, bench)).toEqual([`${memberOf('worker')} roles/pubsub.publisher`]);
  });
});

async function topic(name: string, bench: Bench): Promise<string> {
  const { name: path }: Json = await bench.call('PUT', `/v1/projects/${PROJECT}/topics/${name}`, {});
  return String(path);
}
