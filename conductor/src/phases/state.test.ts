/**
 * The database of a director's state: planned, made before the director, looked at, and left when the rest goes.
 *
 * The local cloud has no documents, so what runs here is a program that only says that it is ready.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { type RunningCloud, startLocalCloud } from '@service-director/localcloud';
import { infrastructureUnits } from '@service-director/shared/engine/infrastructure.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RunContext } from '../context.ts';
import { down } from '../down.ts';
import { Failure } from '../failure.ts';
import { openLook } from '../open.ts';
import { plan } from '../plan.ts';
import { status } from '../status.ts';
import { up } from '../up.ts';
import { findWorld, preflight } from './preflight.ts';
import { bring, planUnits } from './units.ts';

const PROJECT = 'state-local';
const UNIT = 'firestore-database/orders-state';
const DATABASES = `/v1/projects/${PROJECT}/databases`;
const DEVELOPER = 'user:developer@example.com';

const PROGRAM = `
require('http').createServer((request, response) => {
  response.writeHead(request.url === '/env' || request.url === '/ready' || request.url === '/health' ? 200 : 404);
  response.end(request.url === '/env' ? JSON.stringify({ state: process.env.DIRECTOR_STATE }) : '{}');
}).listen(process.env.PORT);
`;

const folder = mkdtempSync(join(tmpdir(), 'state-'));
let running: RunningCloud;

beforeAll(async () => {
  running = await startLocalCloud({
    dir: join(folder, 'cloud'),
    project: PROJECT,
    apis: 'default',
    propagationMs: 0,
    environment: env,
  });
  for (const host of ['cloudresourcemanager', 'serviceusage'])
    running.cloud.projects.enable(PROJECT, `${host}.googleapis.com`, 0);
  mkdirSync(join(folder, 'program'));
  writeFileSync(join(folder, 'program', 'main.js'), PROGRAM);
  writeFileSync(join(folder, 'program', 'package.json'), '{"scripts": {"start": "node main.js"}}');
});

afterAll(async () => {
  await running.stop();
  rmSync(folder, { recursive: true });
});

/** Of an architecture whose director has its state there. */
function look(state: string): RunContext {
  const path = join(folder, `${state.replace(/\W/g, '-')}.yaml`);
  const deployment = { source_path: './program', environment_vars: { DIRECTOR_STATE: state } };
  const director = JSON.stringify({ deployment });
  writeFileSync(path, `name: state\nproject_id: ${PROJECT}\nregion: europe-west4\ndirector: ${director}\n`);
  return openLook({ architecture: path, endpoint: running.origin }, 'look');
}

async function get(path: string): Promise<Record<string, unknown>> {
  return (await (await fetch(running.origin + path)).json()) as Record<string, unknown>;
}

test('the plan of a fresh project shows the database, and who may use it', async () => {
  const { plans } = await plan(look('firestore:orders-state'));
  expect(plans[0]?.plan.changes).toContainEqual({ unit: UNIT, action: 'create' });
  expect(plans[0]?.plan.grants).toContainEqual(
    expect.objectContaining({ change: 'gained', role: 'roles/datastore.user', on: `project/${PROJECT}` }),
  );
});

test('by default it is a database of the director, on Google Cloud', async () => {
  const context = look('firestore:orders-state');
  const { deployment } = context.architecture.director;
  const environment_vars = {};
  const director = { ...context.architecture.director, deployment: { ...deployment, environment_vars } };
  const architecture = { ...context.architecture, director };
  const world = await findWorld({ ...context, architecture });
  const units = (directorEnv: Readonly<Record<string, string>>) =>
    infrastructureUnits(architecture, { ...world, directorEnv });
  const { units: planned } = await planUnits(units({}), [], context);
  expect(planned).toContainEqual(
    expect.objectContaining({ id: 'firestore-database/service-director', change: { action: 'create' } }),
  );
  // This is not Google Cloud.
  expect(units(world.directorEnv).map(({ kind }) => kind)).not.toContain('firestore-database');
});

test('up makes the database and the role before the director, which is told where it is', async () => {
  const context = look('firestore:orders-state');
  const { directorUrl } = await up(context, { only: ['preflight', 'identities', 'bootstrap'] });
  const headers = await context.reach.authorization(directorUrl);
  expect(await (await fetch(`${directorUrl}/env`, { headers })).json()).toEqual({
    state: 'firestore:orders-state',
  });
  expect(await get(`${DATABASES}/orders-state`)).toMatchObject({
    type: 'FIRESTORE_NATIVE',
    locationId: 'europe-west4',
    databaseEdition: 'STANDARD',
  });
  const made = running.cloud.calls.since(0).map(({ method }) => method);
  expect(made.indexOf('CreateDatabase')).toBeLessThan(made.indexOf('CreateService'));

  const units = infrastructureUnits(context.architecture, await findWorld(context));
  const { units: planned } = await planUnits(units, [], context);
  expect(planned.filter(({ change }) => change.action !== 'none')).toEqual([]);
}, 120_000);

test('status shows it', async () => {
  const { infrastructure } = await status(look('firestore:orders-state'));
  expect(infrastructure).toContainEqual({ unit: UNIT, state: 'present' });
  const other = await status(look('firestore:other-state'));
  expect(other.infrastructure).toContainEqual({ unit: 'firestore-database/other-state', state: 'missing' });
});

test('a build of the director that fails leaves nothing behind that is still being made', async () => {
  const context = look('firestore:late-state');
  writeFileSync(join(folder, 'program', 'more.js'), '// another source, so another image');
  const builder = () => Promise.reject(new Failure('not today'));
  await expect(up(context, { only: ['bootstrap'], builder })).rejects.toThrow('not today');
  expect(await get(`${DATABASES}/late-state`)).toMatchObject({ type: 'FIRESTORE_NATIVE' });
});

test('down leaves it, and says why', async () => {
  const context = look('firestore:orders-state');
  // Only a director takes dataflows down, and this one cannot.
  const service = `/v2/projects/${PROJECT}/locations/europe-west4/services/service-director`;
  await fetch(running.origin + service, { method: 'DELETE' });
  await expect
    .poll(async () => (await fetch(running.origin + service)).status, { timeout: 20_000 })
    .toBe(404);
  const { kept, deleted } = await down(context);
  expect(deleted).toBeGreaterThan(0);
  expect(kept).toEqual([
    { unit: 'apis/service-director', because: 'others in the project may use them' },
    { unit: UNIT, because: 'it holds the state that the next director goes on with' },
  ]);
  expect(await get(`${DATABASES}/orders-state`)).toMatchObject({ type: 'FIRESTORE_NATIVE' });
}, 60_000);

test('a state in a file takes no database', async () => {
  const context = look('sqlite:state.sqlite');
  const { plans } = await plan(context);
  expect(JSON.stringify(plans)).not.toMatch(/firestore|datastore/);
});

test('who may not make databases is told which role holds that, before anything is made', async () => {
  const context = look('firestore:refused-state');
  const world = await findWorld(context);
  const resource = `projects/${PROJECT}`;
  const { iam } = running.cloud;
  const { bindings } = iam.policy(resource);
  const roles = ['editor', 'resourcemanager.projectIamAdmin', 'storage.admin'];
  const given = (more: readonly string[]) =>
    iam.setPolicy(
      resource,
      { bindings: [...roles, ...more].map((role) => ({ role: `roles/${role}`, members: [DEVELOPER] })) },
      0,
    );
  try {
    given([]);
    await expect(preflight(world, context)).rejects.toMatchObject({
      message: `You lack 1 permission on ${resource}: datastore.databases.create`,
      fix: `have somebody run: gcloud projects add-iam-policy-binding ${PROJECT} --member=user:YOU --role=roles/datastore.owner`,
    });
    given(['datastore.owner']);
    await preflight(world, context);
  } finally {
    iam.setPolicy(resource, { bindings }, 0);
  }
});

test('one in Datastore mode is refused by name', async () => {
  const body = JSON.stringify({ type: 'DATASTORE_MODE', locationId: 'europe-west4' });
  await fetch(`${running.origin}${DATABASES}?databaseId=older-state`, { method: 'POST', body });
  const context = look('firestore:older-state');
  const units = infrastructureUnits(context.architecture, await findWorld(context));
  const database = units.filter(({ kind }) => kind === 'firestore-database');
  await expect(bring(database, 'bootstrap', context)).rejects.toThrow('it is in Datastore mode');
});
