/** The state, encrypted with a key in Cloud KMS: asked over the wire, and by a director that is killed. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Keyring, openKeyring } from '@service-director/director/store/keyring.ts';
import { openSealed } from '@service-director/director/store/sealed.ts';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import { type FaultRule, type RunningCloud, startLocalCloud } from '@service-director/localcloud';
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import { googleCloud, noCredentials } from '@service-director/shared/cloud/google.ts';
import { systemClock, systemRandom } from '@service-director/shared/kit/clock.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { startDirector, stateFile } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { DIRECTOR, openWorld, until } from './support/world.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

const ROLE = 'roles/cloudkms.cryptoKeyEncrypterDecrypter';

/** Makes a key, and returns its path. */
async function makeKey(cloud: Cloud, id: string): Promise<string> {
  const { projects } = await cloud.kms();
  const parent = `projects/${cloud.project}/locations/europe-west4`;
  const ring = `${parent}/keyRings/director`;
  const { keyRings } = projects.locations;
  await keyRings.create({ parent, keyRingId: 'director', requestBody: {} }).catch((error) => {
    if (!/already exists/.test(String(error))) throw error;
  });
  const requestBody = { purpose: 'ENCRYPT_DECRYPT' };
  await keyRings.cryptoKeys.create({ parent: ring, cryptoKeyId: id, requestBody });
  return `${ring}/cryptoKeys/${id}`;
}

async function grant(cloud: Cloud, path: string, email: string): Promise<void> {
  const { projects } = await cloud.kms();
  const bindings = [{ role: ROLE, members: [`serviceAccount:${email}`] }];
  const requestBody = { policy: { bindings } };
  await projects.locations.keyRings.cryptoKeys.setIamPolicy({ resource: path, requestBody });
}

describe('a key in Cloud KMS', () => {
  const dir = mkdtempSync(join(tmpdir(), 'kms-'));
  const email = 'director@p.iam.gserviceaccount.com';
  const dataKey = randomBytes(32);
  let running: RunningCloud;
  let cloud: Cloud;
  let path: string;
  let made = 0;

  beforeAll(async () => {
    running = await startLocalCloud({ dir, project: 'p', propagationMs: 0 });
    cloud = googleCloud({ project: 'p', endpoint: running.origin, credentials: noCredentials });
    const iam = await cloud.iam();
    const requestBody = { accountId: 'director' };
    await iam.projects.serviceAccounts.create({ name: 'projects/p', requestBody });
  });
  afterAll(async () => {
    await running?.stop();
    rmSync(dir, { recursive: true });
  });
  beforeEach(async () => {
    running.cloud.faults.replace([]);
    path = await makeKey(cloud, `k${++made}`);
  });

  const keyringOf = (by: Cloud, text = `kms:${path}`): Keyring =>
    openKeyring(text, { cloud: by, clock: systemClock, random: systemRandom });

  /** How often KMS was asked so since. */
  const callsOf = (method: string, since: number): number =>
    running.cloud.calls.since(since).filter((call) => call.method === method).length;

  /** As the director's account sees it. */
  async function asDirector(): Promise<Cloud> {
    const identity = { type: 'serviceAccount', email } as const;
    const door = await running.cloud.openDoor({ identity, projectId: 'p', region: 'europe-west4' });
    onTestFinished(() => door.close());
    const endpoint = `http://127.0.0.1:${door.port}`;
    return googleCloud({ project: 'p', endpoint, credentials: noCredentials });
  }

  test('wraps and unwraps, and a new version of it changes nothing', async () => {
    const keyring = keyringOf(cloud);
    const wrapped = await keyring.wrap(dataKey);
    expect(wrapped.key).toBe(`kms:${path}`);
    expect(dataKey.equals(await keyring.unwrap(wrapped))).toBe(true);
    const { cryptoKeys } = (await cloud.kms()).projects.locations.keyRings;
    await cryptoKeys.cryptoKeyVersions.create({ parent: path, requestBody: {} });
    await cryptoKeys.updatePrimaryVersion({ name: path, requestBody: { cryptoKeyVersionId: '2' } });
    expect(dataKey.equals(await keyring.unwrap(wrapped))).toBe(true);
    expect((await keyring.wrap(dataKey)).bytes).not.toBe(wrapped.bytes);
  });

  test('is asked again after what passes, and not after what does not', async () => {
    const keyring = keyringOf(cloud);
    const wrapped = await keyring.wrap(dataKey);
    const since = running.cloud.calls.since(0).at(-1)?.number ?? 0;
    const fault: FaultRule = { api: 'cloudkms', count: 1, error: 'UNAVAILABLE' };
    running.cloud.faults.replace([
      fault,
      { ...fault, effect: 'after' },
      { ...fault, error: 'RESOURCE_EXHAUSTED' },
    ]);
    expect(dataKey.equals(await keyring.unwrap(wrapped))).toBe(true);
    expect(callsOf('Decrypt', since)).toBeGreaterThan(1);
    expect(running.cloud.faults.rules().map(({ hits }) => hits)).toEqual([1, 1, 1]);
    const then = running.cloud.calls.since(0).at(-1)?.number ?? 0;
    const damaged = Buffer.from(wrapped.bytes, 'base64').fill(0, 20, 21).toString('base64');
    await expect(keyring.unwrap({ ...wrapped, bytes: damaged })).rejects.toThrow('Decryption failed');
    expect(callsOf('Decrypt', then)).toBe(1);
  });

  test('what was damaged on its way is thrown away, and asked for again', async () => {
    let left = 0;
    /** Changes the first character of what is brought, so often. */
    const damaging: typeof fetch = async (...request) => {
      const response = await fetch(...request);
      const body = await response.text();
      const changed = body.replace(/"(ciphertext|plaintext)":"./, (text) => {
        if (left === 0) return text;
        left--;
        return `${text.slice(0, -1)}${text.endsWith('A') ? 'B' : 'A'}`;
      });
      const { status, headers } = response;
      return new Response(changed, {
        status,
        headers: { 'content-type': headers.get('content-type') ?? '' },
      });
    };
    const keyring = keyringOf(
      googleCloud({ project: 'p', endpoint: running.origin, credentials: noCredentials, fetch: damaging }),
    );
    left = 2;
    const wrapped = await keyring.wrap(dataKey);
    expect(left).toBe(0);
    left = 2;
    expect(dataKey.equals(await keyring.unwrap(wrapped))).toBe(true);
    expect(left).toBe(0);
  });

  test('that the director may not use is told with the role that it needs, before anything is written', async () => {
    const store = sqliteStore({ path: ':memory:' });
    onTestFinished(() => store.close());
    const director = await asDirector();
    await expect(openSealed(store, keyringOf(director))).rejects.toThrow(
      new RegExp(
        `The key kms:${path} cannot be used: Permission .* To do: grant ${ROLE} on ${path} to the account of the director`,
      ),
    );
    await grant(cloud, path, email);
    const sealed = await openSealed(store, keyringOf(director));
    const key = { collection: 'commands', id: 'a' } as const;
    await sealed.commit([{ type: 'put', key, value: { n: 1 }, if: 'absent' }]);
    const again = await openSealed(store, keyringOf(director));
    expect((await again.get(key))?.value).toEqual({ n: 1 });
  });

  test('that was disabled opens nothing, and is named', async () => {
    const store = sqliteStore({ path: ':memory:' });
    onTestFinished(() => store.close());
    const sealed = await openSealed(store, keyringOf(cloud));
    const key = { collection: 'commands', id: 'a' } as const;
    await sealed.commit([{ type: 'put', key, value: { n: 1 }, if: 'absent' }]);
    const { cryptoKeys } = (await cloud.kms()).projects.locations.keyRings;
    const disable = { updateMask: 'state', requestBody: { state: 'DISABLED' } };
    await cryptoKeys.cryptoKeyVersions.patch({ name: `${path}/cryptoKeyVersions/1`, ...disable });
    const other = await makeKey(cloud, `other${made}`);
    const both = keyringOf(cloud, `kms:${other},kms:${path}`);
    await expect(openSealed(store, both)).rejects.toThrow(
      `commands/a: the key kms:${path} does not open it: ${path}/cryptoKeyVersions/1 is not enabled`,
    );
  });
});

test('a director with a key goes on where another was killed, and its file tells nothing (D157)', async () => {
  const world = await openWorld();
  onTestFinished(() => world.stop());
  const path = await makeKey(world.cloud, 'state');
  await grant(world.cloud, path, DIRECTOR);
  const env = { DIRECTOR_STATE_KEY: `kms:${path}` };
  const labels = { planted: 'do-not-tell' };
  const topics = ['a', 'b', 'c'].map((name) => ({ name: `sealed-${name}`, labels }));
  const document = documentOf('sealed', { flow: ephemeral({ resources: { topics } }) });

  const first = await startDirector(world, { env });
  await first.ready();
  await world.send('dataflow-setup', 'sealed.setup', { architecture: { document } });
  await until(() => expect(world.changes().some(({ method }) => method === 'CreateTopic')).toBe(true));
  await first.kill();
  const second = await startDirector(world, { env });
  expect(await world.recorder.answerTo('sealed.setup')).toMatchObject({ type: 'completed' });
  expect((await second.get('/commands/sealed.setup')).body).toMatchObject({ status: 'succeeded' });
  await second.kill();

  const folder = dirname(stateFile(world));
  const files = readdirSync(folder).map((name) => readFileSync(join(folder, name)));
  expect(Buffer.concat(files).includes('sealed.setup')).toBe(true);
  expect(Buffer.concat(files).includes('do-not-tell')).toBe(false);
});
