/** A director whose state cannot be had when it starts: it lives, says why, and begins by itself once it can be had. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type DirectorProcess, launchDirector, startDirector, stateFile } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { DIRECTOR, freePort, openWorld, PROJECT, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

let world: World;

beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

async function sendSetup(name: string): Promise<string> {
  const topics = [{ name: `${name}-topic` }];
  const document = documentOf(name, { flow: ephemeral({ resources: { topics } }) });
  await world.send('dataflow-setup', `${name}.setup`, { architecture: { document } });
  return `${name}.setup`;
}

/** That it lives, says what keeps it from starting, and takes nothing. */
async function expectHeldUp(director: DirectorProcess, because: RegExp, command: string): Promise<void> {
  await until(async () =>
    expect(await director.get('/ready')).toMatchObject({
      status: 503,
      body: { ready: false, problems: { state: expect.stringMatching(because) } },
    }),
  );
  expect(await director.get('/health')).toMatchObject({ status: 200, body: { status: 'ok' } });
  expect(await director.get('/commands')).toMatchObject({
    status: 503,
    type: 'application/problem+json',
    body: { detail: expect.stringContaining('/ready') },
  });
  expect(director.output()).not.toContain('the director is up');
  expect(world.recorder.about(command)).toEqual([]);
}

test('a file that another process has to itself is waited for', async () => {
  const file = stateFile(world, 'locked');
  mkdirSync(dirname(file), { recursive: true });
  const other = new DatabaseSync(file);
  other.exec('BEGIN EXCLUSIVE');
  const command = await sendSetup('locked');
  const director = await launchDirector(world, { name: 'locked', port: await freePort() });
  await expectHeldUp(director, /cannot be opened: database is locked/, command);
  other.exec('ROLLBACK');
  other.close();
  await director.ready();
  expect(await world.recorder.answerTo(command)).toMatchObject({ type: 'completed' });
  await director.kill();
});

test('a key that it may not use yet is waited for', async () => {
  const { projects } = await world.cloud.kms();
  const parent = `projects/${PROJECT}/locations/europe-west4`;
  const { keyRings } = projects.locations;
  await keyRings.create({ parent, keyRingId: 'start', requestBody: {} });
  const requestBody = { purpose: 'ENCRYPT_DECRYPT' };
  await keyRings.cryptoKeys.create({ parent: `${parent}/keyRings/start`, cryptoKeyId: 'key', requestBody });
  const key = `${parent}/keyRings/start/cryptoKeys/key`;
  const command = await sendSetup('denied');
  const director = await launchDirector(world, {
    name: 'denied',
    port: await freePort(),
    env: { DIRECTOR_STATE_KEY: `kms:${key}` },
  });
  await expectHeldUp(director, /The key kms:\S+ cannot be used: .* To do: grant roles\/cloudkms/, command);
  // So often as it takes, by the same process.
  await until(() => expect(director.output().match(/held up and tried again/g)?.length).toBeGreaterThan(2));
  const bindings = [
    { role: 'roles/cloudkms.cryptoKeyEncrypterDecrypter', members: [`serviceAccount:${DIRECTOR}`] },
  ];
  await keyRings.cryptoKeys.setIamPolicy({ resource: key, requestBody: { policy: { bindings } } });
  await director.ready();
  expect(await world.recorder.answerTo(command)).toMatchObject({ type: 'completed' });
  await director.kill();
});

test('a key that does not fit, or whose file is gone, ends the start', async () => {
  const keyFile = join(world.dir, 'key');
  const writeKey = (): void => writeFileSync(keyFile, randomBytes(32).toString('base64'), { mode: 0o600 });
  const env = { DIRECTOR_STATE_KEY: `file:${keyFile}` };
  writeKey();
  const first = await startDirector(world, { name: 'sealed', env });
  const command = await sendSetup('sealed');
  expect(await world.recorder.answerTo(command)).toMatchObject({ type: 'completed' });
  await first.kill();

  const expectEnd = async (more: Readonly<Record<string, string>>, because: RegExp): Promise<void> => {
    const director = await launchDirector(world, { name: 'sealed', port: await freePort(), env: more });
    expect(await director.ended).toBe(1);
    expect(director.output()).toMatch(because);
    expect(director.output()).not.toContain('held up');
  };
  rmSync(keyFile);
  writeKey();
  await expectEnd(env, /the key file:\w+ does not open it: DIRECTOR_STATE_KEY has only file:\w+/);
  await expectEnd({}, /it is sealed with the key file:\w+, and DIRECTOR_STATE_KEY is not set/);
  rmSync(keyFile);
  await expectEnd(env, /The key file \S+ cannot be read/);
});

test('what is no state at all ends the start', async () => {
  const file = stateFile(world, 'damaged');
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, 'These are no tables, and never will be: '.repeat(100));
  const director = await launchDirector(world, { name: 'damaged', port: await freePort() });
  expect(await director.ended).toBe(1);
  expect(director.output()).toContain('file is not a database');
});
