/** Deployments of a Cloud Run service: revisions, failures to start, and those that somebody else has under way. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Unit } from '@service-director/shared/model/unit.ts';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Bench, LOCATION, openBench, PROJECT, unitOf } from './bench.ts';
import { type Fields, specOf } from './cases/case.ts';
import { service } from './cases/service.ts';

let bench: Bench;

beforeAll(async () => {
  bench = await openBench();
});
afterAll(async () => {
  await bench.end();
});

const unit = async (name: string, ...more: Fields[]): Promise<Unit> =>
  unitOf('service', specOf(await service.spec(name, bench), ...more));

const pathOf = (name: string): string => `/v2/${LOCATION}/services/${name}`;

/** What everybody who asks the service is told. */
async function ask(name: string): Promise<string> {
  const policy = { bindings: [{ role: 'roles/run.invoker', members: ['allUsers'] }] };
  await bench.call('POST', `${pathOf(name)}:setIamPolicy`, { policy });
  const { uri } = await bench.call('GET', pathOf(name));
  return (await fetch(String(uri))).text();
}

async function revisions(name: string): Promise<number> {
  const { revisions = [] } = await bench.call('GET', `${pathOf(name)}/revisions`);
  return Array.isArray(revisions) ? revisions.length : 0;
}

const FAILED_TO_START =
  /^Revision '[-\w]+' is not ready and cannot serve traffic\. The user-provided container failed to start and listen on the port defined provided by the PORT=8080 environment variable/;

test('is deployed by digest, and a changed environment makes one new revision (G13, G26)', async () => {
  const first = await unit('hello', { env: { GREETING: 'good morning' } });
  const before = await bench.apply(first);
  expect(before.outcome).toMatchObject({
    status: 'done',
    outputs: {
      name: 'hello',
      uri: expect.stringMatching(/^http/),
      image: expect.stringMatching(/@sha256:[0-9a-f]{64}$/),
      revision: expect.stringMatching(/^hello-00001-/),
    },
  });
  expect(await ask('hello')).toBe('good morning');
  const second = unitOf('service', specOf(first.spec, { env: { GREETING: 'good night' } }));
  const after = await bench.apply(second, { prior: before.state });
  expect(after.outcome).toMatchObject({
    status: 'done',
    outputs: { uri: before.state.outputs.uri, revision: expect.stringMatching(/^hello-00002-/) },
  });
  expect(await ask('hello')).toBe('good night');
  await bench.apply(unitOf('service', specOf(second.spec, { labels: { team: 'red' } })));
  expect(await revisions('hello')).toBe(2);
});

test("a container that does not start fails with Google's words, and the next apply tries again", async () => {
  const file = join(bench.dir, 'needed');
  const desired = await unit('needy', { env: { NEEDS: file, GREETING: 'at last' } });
  const first = await bench.apply(desired);
  expect(first.outcome).toMatchObject({
    status: 'failed',
    error: { reason: 'precondition', message: expect.stringMatching(FAILED_TO_START) },
  });
  expect(first.calls).toEqual(['CreateService']);

  const second = await bench.apply(desired, { prior: first.state });
  expect(second.planned.change).toEqual({ action: 'update', fields: ['ready'] });
  expect(second.outcome).toMatchObject({
    status: 'failed',
    error: { reason: 'precondition', message: expect.stringMatching(FAILED_TO_START) },
  });
  expect(second.calls).toEqual(['UpdateService']);
  expect(await revisions('needy')).toBe(2);

  writeFileSync(file, '');
  const third = await bench.apply(desired, { prior: second.state });
  expect(third.outcome).toMatchObject({ status: 'done', change: { action: 'update', fields: ['ready'] } });
  expect(await ask('needy')).toBe('at last');
  const fourth = await bench.apply(desired, { prior: third.state });
  expect([fourth.planned.change, fourth.calls]).toEqual([{ action: 'none' }, []]);
});

test('a revision that does not start leaves the one before in service', async () => {
  const good = await unit('steady', { env: { GREETING: 'as ever' } });
  const { state } = await bench.apply(good);
  const bad = unitOf('service', specOf(good.spec, { env: { NEEDS: join(bench.dir, 'absent') } }));
  const { outcome } = await bench.apply(bad, { prior: state });
  expect(outcome).toMatchObject({
    status: 'failed',
    error: { message: expect.stringMatching(FAILED_TO_START) },
  });
  expect(await ask('steady')).toBe('as ever');
  const back = await bench.apply(good, { prior: state });
  expect(back.outcome.status).toBe('done');
  expect((await bench.plan(good)).change).toEqual({ action: 'none' });
});

test('an image that is not there fails at once, for a new service as for one that is there', async () => {
  const good = await unit('imaged');
  const fresh = await unit('imageless');
  const image = String(good.spec.image).replace(/[0-9a-f]{64}$/, '0'.repeat(64));
  const missing = {
    status: 'failed',
    error: { reason: 'not-found', message: `Image '${image}' not found.` },
  };
  const created = await bench.apply(unitOf('service', specOf(fresh.spec, { image })));
  expect([created.outcome, created.calls]).toMatchObject([missing, ['CreateService']]);
  await bench.apply(good);
  const updated = await bench.apply(unitOf('service', specOf(good.spec, { image })));
  expect([updated.outcome, updated.calls]).toMatchObject([missing, ['UpdateService']]);
});

test('an account that is not there yet is awaited (G7)', async () => {
  const desired = await unit('early', { serviceAccount: `latecomer@${PROJECT}.iam.gserviceaccount.com` });
  const told: string[] = [];
  const { outcome } = await bench.apply(desired, {
    context: {
      waiting(because) {
        told.push(because);
        void bench.ensure('POST', `/v1/projects/${PROJECT}/serviceAccounts`, { accountId: 'latecomer' });
      },
    },
  });
  expect(told[0]).toContain("'iam.serviceaccounts.actAs' denied on service account latecomer@");
  expect(outcome).toMatchObject({ status: 'done', change: { action: 'create' } });
});

test('what somebody else has under way is waited for, not written over', async () => {
  const desired = await unit('shared');
  const { state } = await bench.apply(desired);
  const template = (env: object[]) => ({
    serviceAccount: desired.spec.serviceAccount,
    containers: [{ image: desired.spec.image, env }],
  });
  // A deployment by hand that never gets ready.
  await bench.call('PATCH', `${pathOf('shared')}?updateMask=template`, {
    template: template([{ name: 'DEAF', value: 'yes' }]),
  });
  expect(await bench.call('GET', pathOf('shared'))).toMatchObject({ reconciling: true });
  const told: string[] = [];
  const applied = bench.apply(desired, {
    prior: state,
    context: { waiting: (because) => void told.push(because) },
  });
  await vi.waitFor(
    () => expect(told).toContain('service/shared: Cloud Run is still working on an earlier change'),
    10_000,
  );
  // It is put right by the same hand; what differs then is ours to mend.
  await bench.call('PATCH', `${pathOf('shared')}?updateMask=template`, {
    template: template([{ name: 'COLOUR', value: 'green' }]),
  });
  expect((await applied).outcome).toMatchObject({ status: 'done', change: { action: 'update' } });
  expect((await applied).calls.filter((method) => method === 'UpdateService')).toHaveLength(2);
  expect((await bench.plan(desired)).change).toEqual({ action: 'none' });
});

test('what somebody writes between our look and our write is not written over: the etag is stale (G58)', async () => {
  const desired = await unit('meanwhile');
  const { state } = await bench.apply(desired);
  const changed = unitOf('service', specOf(desired.spec, { env: { COLOUR: 'red' } }));
  const { calls } = bench.running.cloud;
  const before = calls.since(0).at(-1)?.number ?? 0;
  let hasWritten = false;
  const { outcome } = await bench.apply(changed, {
    prior: state,
    context: {
      async record() {
        if (hasWritten) return;
        hasWritten = true;
        const path = `${pathOf('meanwhile')}?updateMask=description`;
        const { name } = await bench.call('PATCH', path, { description: 'By hand' });
        await bench.call('POST', `/v2/${name}:wait`, { timeout: '10s' });
      },
    },
  });
  expect(outcome.status).toBe('done');
  const written = calls.since(before).filter(({ method }) => method === 'UpdateService');
  expect(written.map(({ code }) => code)).toEqual(['OK', 'ABORTED', 'OK']);
  expect((await bench.plan(changed)).change).toEqual({ action: 'none' });
});
