import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startLocalCloud } from '../../index.ts';
import { type Bench, isRunning, openBench, PARENT } from './testing.ts';

let bench: Bench;

beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.end());

test('minimum instances are kept, and come back after a crash', async () => {
  const { response: service } = await bench.deploy('kept', {
    template: bench.template(),
    scaling: { minInstanceCount: 1 },
  });
  const { pid } = await bench.ask(service.uri);
  expect((await fetch(`${service.uri}/crash`, { headers: bench.bearer() })).status).toBe(503);
  await vi.waitFor(async () => expect((await bench.ask(service.uri)).pid).not.toBe(pid), { timeout: 10_000 });
  expect(isRunning(pid)).toBe(false);
});

test('requests beyond the concurrency of one instance get another, up to the maximum', async () => {
  const { response: service } = await bench.deploy('wide', {
    template: bench.template('serve', { maxInstanceRequestConcurrency: 1, scaling: { maxInstanceCount: 2 } }),
  });
  const held = [0, 1].map(async () =>
    (await fetch(`${service.uri}/hold`, { headers: bench.bearer() })).text(),
  );
  const started = 'resource.labels.service_name="wide" "probe succeeded"';
  await vi.waitFor(async () => expect(await bench.logs(started)).toHaveLength(2), { timeout: 10_000 });
  // Both are taken: a third waits until one is free again.
  let third: number | undefined;
  const waiting = bench.ask(service.uri).then(({ pid }) => {
    third = pid;
  });
  expect(third).toBeUndefined();
  for (const { textPayload } of await bench.logs('resource.labels.service_name="wide" "listening on"'))
    await fetch(`http://127.0.0.1:${String(textPayload).replace(/\D/g, '')}/release`);
  expect(new Set(await Promise.all(held)).size).toBe(2);
  await waiting;
  expect(await bench.logs(started)).toHaveLength(2);
  await bench.remove('wide');
});

test('after a restart the minimum instances are back, at the same URL; deletion ends them', async () => {
  const before = await bench.get('kept');
  const { pid } = await bench.ask(before.uri);
  await bench.restart();
  expect(isRunning(pid)).toBe(false);
  const after = await bench.get('kept');
  expect(after).toEqual(before);
  const alive = 'resource.labels.service_name="kept" "probe succeeded"';
  await vi.waitFor(async () => expect(await bench.logs(alive)).toHaveLength(3), { timeout: 10_000 });
  const again = await bench.ask(after.uri);
  await bench.remove('kept');
  expect(isRunning(again.pid)).toBe(false);
  await expect(fetch(String(after.uri))).rejects.toThrow();
  await expect(bench.get('kept')).rejects.toMatchObject({
    status: 404,
    message: "Resource 'kept' of kind 'SERVICE' in region 'us-central1' in project 'p' does not exist.",
  });
  expect(bench.running().cloud.iam.policy(`${PARENT}/services/kept`).bindings).toEqual([]);
});

test('instances of a local cloud that was killed are ended by the next', async () => {
  const { response: service } = await bench.deploy('orphan', {
    template: bench.template(),
    scaling: { minInstanceCount: 1 },
  });
  const { pid, env } = await bench.ask(service.uri);
  const traces = bench.running().cloud.store.table<{ pid: number; mark: string }>('run.instances');
  const left = [...traces.values()].find((trace) => trace.pid === pid);
  expect(left?.mark).toBe(`SERVICE_DIRECTOR_CLOUD_ENDPOINT=${env.SERVICE_DIRECTOR_CLOUD_ENDPOINT}`);
  // A second local cloud finds what the first one wrote, and does not ask whether that is still there.
  const other = mkdtempSync(join(tmpdir(), 'run-other-'));
  const second = await startLocalCloud({ dir: other });
  second.cloud.store.table('run.instances').set('left', left);
  second.cloud.store.table('run.instances').set('another', { pid: process.pid, mark: 'NOT=ours' });
  await second.stop();
  await (await startLocalCloud({ dir: other })).stop();
  rmSync(other, { recursive: true });
  await vi.waitFor(async () => expect((await bench.ask(service.uri)).pid).not.toBe(pid), { timeout: 10_000 });
  await bench.remove('orphan');
  expect(readdirSync(join(bench.dir, 'instances'))).toEqual([]);
});

test('a sick instance is replaced, a slow request ends, and what is long idle goes', async () => {
  // Idleness of 15 minutes and patience of 10 seconds pass at once, the 7 minutes of a request when the test says so.
  const hurried = new Map([
    [15 * 60_000, 20],
    [10_000, 50],
  ]);
  const requests: (() => void)[] = [];
  await bench.restart({
    ...systemClock,
    after(ms, task) {
      if (ms === 7 * 60_000) requests.push(task);
      return systemClock.after(hurried.get(ms) ?? ms, task);
    },
  });
  const livenessProbe = {
    httpGet: { path: '/live' },
    periodSeconds: 1,
    timeoutSeconds: 1,
    failureThreshold: 1,
  };
  const { response: lively } = await bench.deploy('lively', {
    template: bench.template('serve', { scaling: { minInstanceCount: 1 } }, { livenessProbe }),
  });
  const { response: slow } = await bench.deploy('slow', {
    template: bench.template('serve', {
      timeout: '420s',
      maxInstanceRequestConcurrency: 1,
      scaling: { maxInstanceCount: 1 },
    }),
  });
  const { pid } = await bench.ask(`${lively.uri}/sick`);
  const held = fetch(`${slow.uri}/hold`, { headers: bench.bearer() });
  const started = 'resource.labels.service_name="slow" "probe succeeded"';
  await vi.waitFor(() => expect(requests).toHaveLength(1), { timeout: 10_000 });
  expect((await fetch(String(slow.uri), { headers: bench.bearer() })).status).toBe(429);
  requests[0]?.();
  expect((await held).status).toBe(504);
  const { pid: idle } = await bench.ask(slow.uri);
  await vi.waitFor(() => expect(isRunning(idle)).toBe(false), { timeout: 10_000 });
  const { pid: fresh } = await bench.ask(slow.uri);
  expect(fresh).not.toBe(idle);
  expect((await bench.logs(started)).length).toBeGreaterThan(1);
  await vi.waitFor(async () => expect((await bench.ask(lively.uri)).pid).not.toBe(pid), { timeout: 10_000 });
  await Promise.all([bench.remove('lively'), bench.remove('slow')]);
});
