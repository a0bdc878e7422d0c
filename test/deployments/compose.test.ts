/** A director beside the local cloud, in containers: `deployments/compose.yaml` and the images that it takes. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { bundledDirector } from '../director/support/program.ts';
import { freePort } from '../director/support/world.ts';
import { composeFile, composeUp, OUTSIDE, type Running } from './support/compose.ts';
import { type Anything, eventually, isSetting, root } from './support/files.ts';

vi.setConfig({ testTimeout: 400_000, hookTimeout: 120_000 });

const PROJECT = 'compose-project';
const dir = mkdtempSync(join(tmpdir(), 'compose-'));

beforeAll(() => void bundledDirector(join(dir, 'built')));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const services = (): [string, Anything][] => Object.entries(composeFile().services);

describe('the file', () => {
  test('nothing is reached but from this machine', () => {
    const published = services().flatMap(([, { ports = [] }]) => ports);
    expect(published).toEqual(['127.0.0.1:8080:8080', '127.0.0.1:8085:8085']);
    for (const [name, { network_mode }] of services())
      expect(network_mode, name).toBe(name === 'door' ? undefined : 'service:door');
  });

  test('what is kept lies in volumes of its own, one for each program', () => {
    const { volumes } = composeFile();
    const mounted = services().flatMap(([, { volumes: own = [] }]) => own);
    expect(mounted.map((mount: string) => mount.split(':')[0])).toEqual(Object.keys(volumes));
  });

  test('the director is given settings that there are, and what Google’s clients look for', () => {
    const { environment } = composeFile().services.director;
    const clients = [
      'PUBSUB_EMULATOR_HOST',
      'STORAGE_EMULATOR_HOST',
      'GCE_METADATA_HOST',
      'METADATA_SERVER_DETECTION',
    ];
    expect(Object.keys(environment).filter((name) => !isSetting(name))).toEqual(clients);
  });

  test('no program has rights that it does not need', () => {
    for (const [name, { cap_drop, security_opt, read_only }] of services()) {
      expect({ cap_drop, security_opt }, name).toEqual({
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
      });
      // It unpacks images and builds programs.
      expect(read_only, name).toBe(name === 'local-cloud' ? undefined : true);
    }
  });
});

describe('its services', () => {
  let running: Running | undefined;
  let ports: { readonly PORT: string; readonly LOCAL_CLOUD_PORT: string };

  beforeAll(async () => {
    ports = { PORT: String(await freePort()), LOCAL_CLOUD_PORT: String(await freePort()) };
  });
  afterAll(async () => void (await running?.stop()));

  const up = (): Promise<Running> => composeUp(composeFile({ ...ports, PROJECT_ID: PROJECT }), dir);
  const director = (path: string, init?: RequestInit): Promise<Response> =>
    fetch(`http://${OUTSIDE}:${ports.PORT}${path}`, init);
  const topic = (name: string): Promise<Response> =>
    fetch(`http://${OUTSIDE}:${ports.LOCAL_CLOUD_PORT}/v1/projects/${PROJECT}/topics/${name}`);

  async function deploy(name: string): Promise<void> {
    const architecture = {
      document: {
        name,
        project_id: PROJECT,
        region: 'us-central1',
        dataflows: {
          flow: { lifecycle: { strategy: 'ephemeral' }, resources: { topics: [{ name: `${name}-topic` }] } },
        },
      },
    };
    const sent = await director('/commands/dataflow-setup', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': `${name}.setup` },
      body: JSON.stringify({ architecture }),
    });
    expect(sent.status, await sent.text()).toBe(202);
    await eventually(async () => expect((await topic(`${name}-topic`)).status).toBe(200));
  }

  test('come up in their order, and what is asked of the director through the door comes about (N31, N125)', async () => {
    running = await up();
    expect((await director('/ready')).status).toBe(200);
    await deploy('first');
    expect(await running.stop()).toMatchObject({ 'local-cloud': 0, topics: 0, director: 0, door: 0 });
    await expect(director('/health')).rejects.toThrow();
  });

  test('come up again on what they left, even when they were killed', async () => {
    running = await up();
    expect((await topic('first-topic')).status).toBe(200);
    for (const name of ['director', 'local-cloud']) process.kill(running.pids.get(name) ?? 0, 'SIGKILL');
    await running.stop();
    expect(existsSync(join(dir, 'local-cloud/lock'))).toBe(true);
    running = await up();
    const known = await director('/v1/deployments');
    expect(await known.json()).toMatchObject({
      deployments: [{ id: 'first.setup.flow', status: 'succeeded' }],
    });
    await deploy('second');
  });
});

const compose = spawnSync('docker', ['compose', 'version'], { encoding: 'utf8' });
const daemon = spawnSync('docker', ['info'], { encoding: 'utf8' });
const NO_COMPOSE = compose.status === 0 ? '' : ' (skipped: there is no docker compose)';
const NO_DAEMON = daemon.status === 0 ? '' : ' (skipped: no Docker daemon answers)';

describe('with Docker', () => {
  test.skipIf(NO_COMPOSE !== '')(`Compose reads the file${NO_COMPOSE}`, () => {
    const args = ['compose', '--file', 'deployments/compose.yaml', 'config', '--format', 'json'];
    const { status, stdout, stderr } = spawnSync('docker', args, { cwd: root, encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    expect(Object.keys(JSON.parse(stdout).services).sort()).toEqual(
      Object.keys(composeFile().services).sort(),
    );
  });

  test.skipIf(NO_DAEMON !== '').each(['local-cloud', ''])(
    `the image %j builds${NO_DAEMON}`,
    (target) => {
      const args = ['build', ...(target === '' ? [] : ['--target', target]), '.'];
      const { status, stderr } = spawnSync('docker', args, {
        cwd: root,
        encoding: 'utf8',
        timeout: 1_200_000,
      });
      expect(status, stderr).toBe(0);
    },
    1_250_000,
  );
});
