/** What a receiver hears of a deployment when it asks for everything: each status that it came to, from a real director. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CommandType } from '@service-director/shared/contract/command.ts';
import {
  WEBHOOK_EVENTS,
  WebhookMessage,
  WebhookWithSecret,
} from '@service-director/shared/contract/webhook.ts';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { openWorld, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

let world: World;
let director: DirectorProcess;
let receiver: Server;
/** By the path that each webhook has of its own. */
const told = new Map<string, WebhookMessage[]>();

beforeAll(async () => {
  world = await openWorld();
  director = await startDirector(world, { env: { DIRECTOR_PRIVATE_HOSTS: 'allowed' } });
  await director.ready();
  receiver = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (part) => (body += part));
    request.on('end', () => {
      const path = request.url ?? '';
      told.set(path, [...(told.get(path) ?? []), WebhookMessage.parse(JSON.parse(body))]);
      response.end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  await makeHook('/all');
});
afterEach(() => world.running.cloud.faults.replace([]));
afterAll(async () => {
  receiver.closeAllConnections();
  await new Promise((resolve) => receiver.close(resolve));
  await world.stop();
});

async function makeHook(path: string): Promise<void> {
  const { port } = receiver.address() as AddressInfo;
  const response = await fetch(`${director.url}/v1/webhooks`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ url: `http://127.0.0.1:${port}${path}`, events: ['*'] }),
  });
  WebhookWithSecret.parse(await response.json());
}

async function ask(type: CommandType, id: string, data: object): Promise<void> {
  const { status } = await director.post(type, JSON.stringify(data), { 'idempotency-key': id });
  expect(status).toBe(202);
}

/** Brings a topic about, in an environment that asks nobody or in `production`. */
function setUp(name: string, number: number, environment = 'dev'): Promise<void> {
  const flow = ephemeral({ resources: { topics: [{ name: `${name}-topic` }] } });
  const document = documentOf(name, { flow }, { deployment_environments: { dev: {}, production: {} } });
  return ask('dataflow-setup', `${name}.${number}`, { architecture: { document, environment } });
}

const atStatus = (id: string, status: string): Promise<void> =>
  until(async () => expect((await director.get(`/deployments/${id}`)).body.status).toBe(status));

const faults = (error: 'UNAVAILABLE' | 'INVALID_ARGUMENT'): void =>
  world.running.cloud.faults.replace([{ method: 'CreateTopic', error, message: 'not yet' }]);

/** What was told of a deployment at that path. */
function heardOf(id: string, path: string): WebhookMessage[] {
  return (told.get(path) ?? []).filter(
    (message) => message.type !== 'webhook.test' && message.data.deployment === id,
  );
}

/** Each of these statuses is told once, and nothing else, and each says that it was not before the one before it. */
async function demandHeard(id: string, statuses: readonly string[], path = '/all'): Promise<void> {
  const types = statuses.map((status) => `deployment.${status}`);
  const heard = await until(() => {
    const all = heardOf(id, path);
    expect(all.map(({ type }) => type).sort()).toEqual([...types].sort());
    return all;
  });
  const times = types.map((one) => heard.find(({ type }) => type === one)?.timestamp ?? '');
  expect(times).toEqual([...times].sort());
  for (const { type, data } of heard)
    expect(data).toMatchObject({ deployment: id, status: type.replace('deployment.', '') });
}

test('who asks for "*" hears each status of a deployment that waits for a lock and for an approval, once (N135)', async () => {
  await setUp('gated', 1, 'production');
  await atStatus('gated.1.flow', 'awaiting_approval');
  const stack = { dataflow: 'flow', scope: 'gated-production' };
  await ask('lock', 'gated.lock', { ...stack, operation: 'apply' });
  await setUp('gated', 2, 'production');
  await atStatus('gated.2.flow', 'waiting_for_lock');
  await ask('unlock', 'gated.unlock', { ...stack, lock_id: 'gated.lock' });
  await atStatus('gated.2.flow', 'awaiting_approval');
  await makeHook('/late');
  await ask('approve', 'gated.yes', { deployment: 'gated.2.flow' });
  await atStatus('gated.2.flow', 'succeeded');
  const before = ['queued', 'waiting_for_lock', 'planning', 'awaiting_approval'];
  await demandHeard('gated.2.flow', [...before, 'applying', 'succeeded']);
  // It is queued again once it is approved: that is news to whoever did not hear the first.
  await demandHeard('gated.2.flow', ['queued', 'applying', 'succeeded'], '/late');
  await demandHeard('gated.1.flow', ['queued', 'planning', 'awaiting_approval']);
});

test('of one that is told to stop that it stops, of one that fails that it failed; no event that there is stays untold (N135)', async () => {
  faults('UNAVAILABLE');
  await setUp('stopped', 1);
  await atStatus('stopped.1.flow', 'applying');
  await ask('cancel', 'stopped.no', { command: 'stopped.1' });
  await demandHeard('stopped.1.flow', ['queued', 'planning', 'applying', 'cancelling', 'cancelled']);
  faults('INVALID_ARGUMENT');
  await setUp('broken', 1);
  await demandHeard('broken.1.flow', ['queued', 'planning', 'applying', 'failed']);
  const all = new Set((told.get('/all') ?? []).map(({ type }) => type));
  expect([...all].sort()).toEqual([...WEBHOOK_EVENTS].sort());
});
