/** A director that is not where it was: nobody waits for it for ever. */

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningCloud, startLocalCloud } from '@service-director/localcloud';
import { type Clock, systemClock } from '@service-director/shared/kit/clock.ts';
import { hydrate } from '@service-director/shared/model/hydrate.ts';
import { parseArchitecture } from '@service-director/shared/model/parse.ts';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type DirectorClient, directorClient } from './director-client.ts';
import { EXIT } from './failure.ts';
import { reachCloud } from './reach.ts';

const PROJECT = 'away-local';
const dir = mkdtempSync(join(tmpdir(), 'director-client-'));
/** A minute passes in a tenth of a second. */
const HASTE = 600;
const hasty: Clock = {
  ...systemClock,
  now: () => systemClock.now() * HASTE,
  sleep: (ms, signal) => systemClock.sleep(ms / HASTE, signal),
};

let running: RunningCloud;
let server: Server;
let client: DirectorClient;

beforeAll(async () => {
  running = await startLocalCloud({ dir, project: PROJECT, propagationMs: 0 });
  for (const topic of ['director-events', 'deploy'])
    await fetch(`${running.origin}/v1/projects/${PROJECT}/topics/${topic}`, { method: 'PUT', body: '{}' });
});

afterEach(async () => {
  await client.close();
  server.close();
  server.closeAllConnections();
});

afterAll(async () => {
  await running.stop();
  rmSync(dir, { recursive: true });
});

/** A client of a director that hears no Pub/Sub, and answers HTTP so. */
async function clientOf(answers: RequestListener, isThere = () => true): Promise<DirectorClient> {
  server = createServer(answers).listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const text = `name: away\nproject_id: ${PROJECT}\nregion: us-central1\n`;
  const { architecture } = parseArchitecture({ hub: { path: 'a.yaml', text }, dataflows: [] });
  if (!architecture) throw new Error('The architecture is wrong');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  client = await directorClient(async () => (isThere() ? url : undefined), {
    run: `run-${Math.random().toString(36).slice(2)}`,
    reach: reachCloud({ project: PROJECT, endpoint: running.origin, local: undefined }),
    architecture: hydrate(architecture),
    clock: hasty,
    emit: () => {},
    signal: new AbortController().signal,
  });
  return client;
}

test('one that is gone is told, and after a while the run gives up as unreachable', async () => {
  const away = await clientOf((_, response) => response.writeHead(503).end('no instance'));
  const told: string[] = [];
  await expect(away.ask('deploy', 'flow', {}, (because) => told.push(because))).rejects.toMatchObject({
    message: 'the director cannot be reached: it answers 503',
    exitCode: EXIT.unreachable,
    fix: expect.stringContaining('run it again to wait for it'),
  });
  expect(told).toEqual(['the director cannot be reached: it answers 503']);
});

test('one that comes back is asked on, and one that is at work is waited for however long it takes', async () => {
  const completed = { type: 'completed', command: 'c', deployments: [] };
  let asked = 0;
  const slow = await clientOf((_, response) => {
    asked++;
    const json = (status: number, body: object): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    // Away for a moment, again and again; then ten minutes of work.
    if (asked < 20 && asked % 2) response.writeHead(502).end();
    else json(200, asked > 200 ? { answer: completed } : { status: 'running' });
  });
  expect(await slow.ask('deploy', 'flow', {})).toMatchObject(completed);
  expect(asked).toBe(201);
});

test('one that somebody took down meanwhile is not waited for', async () => {
  let asked = 0;
  const taken = await clientOf(
    (_, response) => {
      asked++;
      response.destroy();
    },
    () => asked === 0,
  );
  await expect(taken.ask('deploy', 'flow', {})).rejects.toMatchObject({
    message: 'the director was removed while this run waited for it',
    exitCode: EXIT.unreachable,
  });
  expect(asked).toBe(1);
});
