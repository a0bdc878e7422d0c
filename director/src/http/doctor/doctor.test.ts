/** The five questions, each asked where the answer is known: on tools of paper, servers of our own, a store that is written by hand. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Finding } from '@service-director/shared/contract/rest/director.ts';
import { systemClock, timestamp } from '@service-director/shared/kit/clock.ts';
import { unitId } from '@service-director/shared/model/unit.ts';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type DeploymentRecord, type JournalEntry, keys } from '../../store/records.ts';
import { sqliteStore } from '../../store/sqlite.ts';
import type { Store } from '../../store/store.ts';
import { type DoctorOptions, examine } from './doctor.ts';

let dir: string;
let store: Store;
let server: ReturnType<typeof createServer>;
let url: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'doctor-'));
  // Whoever calls without a token is refused, and was reached all the same.
  server = createServer((_request, response) => response.writeHead(401).end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  store = sqliteStore({ path: ':memory:' });
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await store.close();
  rmSync(dir, { recursive: true, force: true });
});

const minutes = (count: number): string => timestamp(systemClock.now() - count * 60_000);

function optionsWith(
  environment: Record<string, string> = {},
  more: Partial<DoctorOptions> = {},
): DoctorOptions {
  return {
    ...{ store, clock: systemClock, endpoint: url, generatorUrl: url, registryUrl: url },
    terraform: { binary: toolOf('1.9.0'), workRoot: join(dir, 'work'), environment, isEnabled: true },
    stateFile: undefined,
    isOnGoogle: false,
    ...more,
  };
}

/** A program that says that it is that version. */
function toolOf(version: string): string {
  const path = join(dir, `terraform-${version}`);
  writeFileSync(path, `#!/bin/sh\necho '{"terraform_version":"${version}"}'\n`);
  chmodSync(path, 0o755);
  return path;
}

async function found(options: DoctorOptions): Promise<Map<string, Finding>> {
  const { checks } = await examine(options);
  return new Map(checks.map((one) => [one.check, one]));
}

test('tools: which version, and what to do about one that is too old or not there (D174)', async () => {
  expect((await found(optionsWith())).get('tool terraform')).toEqual({
    check: 'tool terraform',
    status: 'ok',
    detail: 'Terraform 1.9.0',
  });
  for (const binary of [toolOf('1.4.6'), join(dir, 'nowhere')]) {
    const options = optionsWith();
    const ill = { ...options, terraform: { ...options.terraform, binary } };
    expect((await found(ill)).get('tool terraform')).toMatchObject({
      status: 'failed',
      fix: expect.stringMatching(/^install Terraform 1\.5 or newer/),
    });
    expect((await examine(ill)).status).toBe('failed');
  }
  for (const tool of ['git', 'az', 'aws']) {
    const { status, fix } = (await found(optionsWith())).get(`tool ${tool}`) ?? {};
    expect([status, fix?.includes(`install ${tool}`) ?? false]).toEqual(
      status === 'ok' ? ['ok', false] : ['warning', true],
    );
  }
});

test('credentials: by their names, whole or half, never what they are (D176)', async () => {
  const file = join(dir, 'key.json');
  writeFileSync(file, '{}');
  const environment = {
    GOOGLE_APPLICATION_CREDENTIALS: file,
    AWS_ACCESS_KEY_ID: 'horse',
    ARM_SUBSCRIPTION_ID: 'battery',
    ARM_TENANT_ID: 'battery',
    ARM_CLIENT_ID: 'battery',
    ARM_CLIENT_SECRET: 'battery-horse',
  };
  const half = await found(optionsWith(environment));
  expect(half.get('credentials google')).toMatchObject({
    status: 'ok',
    detail: 'GOOGLE_APPLICATION_CREDENTIALS',
  });
  expect(half.get('credentials aws')).toMatchObject({
    status: 'failed',
    detail: 'AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY',
  });
  expect(half.get('credentials azure')).toMatchObject({
    status: 'ok',
    detail: 'ARM_SUBSCRIPTION_ID, ARM_TENANT_ID, ARM_CLIENT_ID and ARM_CLIENT_SECRET',
  });
  expect(JSON.stringify([...half.values()])).not.toMatch(/horse|battery/);
  const none = await found(optionsWith({ GOOGLE_APPLICATION_CREDENTIALS: '/nowhere/key.json' }));
  expect(none.get('credentials google')).toMatchObject({ status: 'failed' });
  expect(none.get('credentials aws')).toMatchObject({ status: 'warning', fix: expect.any(String) });
  const identity = await found(optionsWith({}, { isOnGoogle: true }));
  expect(identity.get('credentials google')).toMatchObject({ status: 'ok' });
});

test('network: any answer will do, and none is said with what needs it (D176)', async () => {
  const all = await found(optionsWith());
  for (const place of ['google', 'registry', 'generator'])
    expect(all.get(`network ${place}`), place).toMatchObject({ status: 'ok' });
  expect(all.has('network aws')).toBe(false);
  const nowhere = 'http://127.0.0.1:9';
  const away = { endpoint: nowhere, registryUrl: nowhere, generatorUrl: nowhere };
  const cut = await found(optionsWith({}, away));
  // The director of this test is one of a local cloud.
  expect(cut.get('network registry')).toMatchObject({
    status: 'warning',
    detail: expect.stringMatching(/^127\.0\.0\.1:9 is not reached.*, and on a local cloud nothing else does/),
    fix: expect.stringContaining('HTTPS_PROXY'),
  });
  expect(cut.get('network generator')).toMatchObject({ status: 'warning' });
  // With a mirror it need not be reached; through a proxy that is asked.
  const mirrored = await found(optionsWith({ TF_CLI_CONFIG_FILE: '/etc/terraformrc' }, away));
  expect(mirrored.get('network registry')).toMatchObject({ status: 'warning' });
  expect((await found(optionsWith({ HTTPS_PROXY: url }, away))).get('network registry')).toMatchObject({
    status: 'ok',
    detail: '127.0.0.1:9 answers through its proxy',
  });
  // Proxies have passwords.
  for (const proxy of [url.replace('//', '//ann:horse@'), 'http://ann:horse@127.0.0.1:9', 'ann:horse']) {
    const told = (await found(optionsWith({ HTTPS_PROXY: proxy }, away))).get('network registry');
    expect(told?.status).toBe(proxy.includes(url.replace('http://', '')) ? 'ok' : 'warning');
    expect(JSON.stringify(told)).not.toContain('horse');
  }
});

const written: string[] = [];
afterEach(async () => {
  for (const id of written.splice(0))
    await store.commit([{ type: 'delete', key: keys.deployment(id), if: 'any' }]);
});

async function write(id: string, record: Partial<DeploymentRecord>, last?: JournalEntry): Promise<void> {
  const value: DeploymentRecord = {
    ...{ id, command: id, correlationId: id, stack: 'shop/front', scope: 'shop', dataflow: 'front' },
    ...{ operation: 'deploy', status: 'queued', dryRun: false, createdAt: minutes(120) },
    ...record,
  };
  await store.commit([
    { type: 'put', key: keys.deployment(id), value, if: 'absent' },
    ...(last ? [{ type: 'put', key: keys.journal(id, 1), value: last, if: 'any' } as const] : []),
  ]);
  written.push(id);
}

test('what is stuck: since when, what it waits for, and what to do (D176)', async () => {
  const since = minutes(60);
  await write('busy', { status: 'applying' }, { at: minutes(1), type: 'status', status: 'applying' });
  await write('done', { status: 'succeeded' });
  await write('planning', { status: 'planning' }, { at: since, type: 'status', status: 'planning' });
  await write(
    'waiting',
    { status: 'applying' },
    {
      at: since,
      type: 'waiting',
      unit: unitId('topic', 'orders'),
      because: 'its grant is not in effect yet',
    },
  );
  const approval = { state: 'pending', planHash: 'x', expiresAt: systemClock.now() + 1_000 } as const;
  await write(
    'gated',
    { status: 'awaiting_approval', approval },
    { at: since, type: 'status', status: 'awaiting_approval' },
  );
  const all = await found(optionsWith());
  expect(all.get('deployments')).toMatchObject({
    status: 'warning',
    detail: '4 under way; to 3 of them nothing happened for 15 minutes',
  });
  expect([...all.keys()].filter((check) => check.startsWith('deployment ')).toSorted()).toEqual(
    ['gated', 'planning', 'waiting'].map((id) => `deployment ${id}`),
  );
  expect(all.get('deployment planning')).toMatchObject({
    detail: `planning since ${since}; it waits for the tool that it runs; nobody is at it`,
    fix: expect.stringContaining('MAX_DEPLOYMENT_TIMEOUT_MS'),
  });
  expect(all.get('deployment waiting')?.detail).toContain('; it waits: its grant is not in effect yet;');
  expect(all.get('deployment gated')).toMatchObject({
    detail: `awaiting_approval since ${since}; it waits for an approval`,
    fix: expect.stringMatching(/^conductor approve gated/),
  });
});

test('disk: how much is free, and what cannot be made is said (D178)', async () => {
  const all = await found(optionsWith({}, { stateFile: join(dir, 'state.sqlite') }));
  expect(all.get('disk of tools')).toMatchObject({
    status: 'ok',
    detail: expect.stringMatching(/^\d+ MiB are free in /),
  });
  expect(all.get('disk of the state')).toMatchObject({ status: 'ok' });
  const file = join(dir, 'a-file');
  writeFileSync(file, '');
  const options = optionsWith();
  const ill = { ...options, terraform: { ...options.terraform, workRoot: join(file, 'work') } };
  expect((await found(ill)).get('disk of tools')).toMatchObject({
    status: 'failed',
    fix: expect.stringContaining('TERRAFORM_WORK_DIR'),
  });
  const gone = await found(optionsWith({}, { stateFile: '/nowhere/at/all/state.sqlite' }));
  expect(gone.get('disk of the state')).toMatchObject({
    status: 'failed',
    detail: expect.stringContaining('/nowhere'),
  });
});
