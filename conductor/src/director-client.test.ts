/** A director that is not where it was: nobody waits for it for ever. */

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Message } from '@google-cloud/pubsub';
import { type RunningCloud, startLocalCloud } from '@service-director/localcloud';
import { type Clock, systemClock } from '@service-director/shared/kit/clock.ts';
import { hydrate } from '@service-director/shared/model/hydrate.ts';
import { parseArchitecture } from '@service-director/shared/model/parse.ts';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type DirectorClient, directorClient } from './director-client.ts';
import type { ConductorEvent } from './event.ts';
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
/** Of the newest client. */
let run: string;
let told: ConductorEvent[];

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
  told = [];
  run = `run-${Math.random().toString(36).slice(2)}`;
  client = await directorClient(async () => (isThere() ? url : undefined), {
    run,
    reach: reachCloud({ project: PROJECT, endpoint: running.origin, local: undefined }),
    architecture: hydrate(architecture),
    clock: hasty,
    emit: (event) => void told.push(event),
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

test('that a deployment awaits approval is told, once, though the event that says so got lost', async () => {
  const parked = { id: 'c.flow', stack: 'away/flow', status: 'awaiting_approval' };
  let asked = 0;
  const waiting = await clientOf((_, response) => {
    asked++;
    const answer = { type: 'completed', command: 'c', deployments: [] };
    say(response, 200, asked < 5 ? { deployments: [parked] } : { answer });
  });
  await waiting.ask('deploy', 'flow', {});
  expect(told).toEqual([
    {
      type: 'director',
      id: 'c.flow.awaiting_approval',
      event: {
        type: 'status',
        command: `${run}.deploy.flow`,
        deployment: 'c.flow',
        stack: 'away/flow',
        status: 'awaiting_approval',
      },
    },
  ]);
});

/** How a director answers in JSON, problems included. */
function say(response: ServerResponse, status: number, body: object): void {
  const type = status < 400 ? 'application/json' : 'application/problem+json';
  response.writeHead(status, { 'content-type': type }).end(JSON.stringify(body));
}

test('a command that its ledger does not know is sent again as the same one, until it does', async () => {
  const completed = { type: 'completed', command: 'c', deployments: [] };
  const taken: Message[] = [];
  const pubsub = await reachCloud({ project: PROJECT, endpoint: running.origin, local: undefined }).pubsub();
  const [created] = await pubsub.topic('deploy').createSubscription('forgetful');
  const subscription = pubsub.subscription(created.name);
  subscription.on('message', (message: Message) => {
    taken.push(message);
    message.ack();
  });
  try {
    // The first is acknowledged and lost; of the second it knows.
    const forgetful = await clientOf((_, response) => {
      if (taken.length < 2) say(response, 404, { detail: 'There is no such command.' });
      else say(response, 200, { answer: completed });
    });
    expect(await forgetful.ask('deploy', 'flow', { dataflow: 'flow' })).toMatchObject(completed);
    const [first, second] = taken;
    expect(second?.attributes).toEqual(first?.attributes);
    expect(second?.data).toEqual(first?.data);
    expect(second?.id).not.toBe(first?.id);
  } finally {
    await subscription.close();
    await pubsub.close();
  }
});

test.each([
  [
    'itself',
    (response: ServerResponse) =>
      say(response, 403, { detail: 'you@x is not on this list.', fix: 'add it to director.allowed_callers' }),
    'you@x is not on this list.; add it to director.allowed_callers',
  ],
  [
    'by what stands before it',
    (response: ServerResponse) => response.writeHead(403).end('<html>'),
    'it answers 403; add yourself to director.allowed_callers',
  ],
])('one that does not let us ask, %s, is listened to however long it takes', async (_, refuse, because) => {
  const completed = { type: 'completed', command: 'c', deployments: [] };
  const told: string[] = [];
  let asked = 0;
  const pubsub = await reachCloud({ project: PROJECT, endpoint: running.origin, local: undefined }).pubsub();
  const closed = await clientOf((_request, response) => {
    asked++;
    refuse(response);
    // Longer than one that is out of reach is waited for.
    if (asked === 100)
      void pubsub.topic('director-events').publishMessage({
        data: Buffer.from(JSON.stringify({ ...completed, command: `${run}.deploy.flow` })),
        attributes: { 'ce-id': 'e', correlationid: run },
      });
  });
  try {
    const answer = await closed.ask('deploy', 'flow', {}, (text) => told.push(text));
    expect(answer).toMatchObject({ type: 'completed' });
    expect(asked).toBeGreaterThanOrEqual(100);
    expect(told).toEqual([`the director does not let us ask how it goes, and is listened to: ${because}`]);
  } finally {
    await pubsub.close();
  }
});
