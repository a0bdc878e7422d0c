/**
 * What version 1 of the director wrote is read by the one of today, which goes on from there.
 *
 * The recordings never change. Everything is seen from outside: commands, events, HTTP, and what there is in the cloud.
 */
import type { LegacyAnswer } from '@service-director/shared/contract/legacy.ts';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from '../director/support/director.ts';
import { inventoryOf } from '../director/support/inventory.ts';
import type { Heard } from '../director/support/recorder.ts';
import {
  type CommandTopic,
  OLDER,
  openWorld,
  PROJECT,
  until,
  type World,
} from '../director/support/world.ts';
import { type RecordedDocument, type Recording, revive } from './recording.ts';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 });

let world: World;
let director: DirectorProcess;
/** The newest call before the director of today was started. */
let before: number;

beforeAll(async () => {
  world = await openWorld();
});
afterEach(() => director.stop());
afterAll(() => world.stop());

async function start(name: string): Promise<Recording> {
  const recording = await revive(world, name);
  before = world.now();
  director = await startDirector(world, { name });
  await director.ready();
  return recording;
}

/** What the director has changed in the cloud: methods, with policies left out. */
function madeSince(number: number): string[] {
  return world
    .changes(number)
    .filter(({ code, method }) => code === 'OK' && !/IamPolicy$/.test(method))
    .map(({ method }) => method)
    .sort();
}

async function run(type: CommandTopic, id: string, data: object): Promise<object> {
  await world.send(type, id, data);
  return world.recorder.answerTo(id);
}

async function runForNothing(type: CommandTopic, id: string, data: object): Promise<void> {
  const since = world.now();
  const answer = await run(type, id, data);
  expect(answer).toMatchObject({ type: 'completed', deployments: [{ status: 'succeeded', units: [] }] });
  expect(world.changes(since)).toEqual([]);
}

async function tearDown(scope: string): Promise<void> {
  const answer = await run('teardown', `${scope}.gone`, { scope, dataflow: 'all' });
  expect(answer).toMatchObject({ type: 'completed' });
  expect(await inventoryOf(world, `${scope}-`)).toEqual({});
  for (const { units } of await stacks()) expect(units).toBe(0);
}

interface Stack {
  readonly stack: string;
  readonly version: number;
  readonly units: number;
  readonly lease?: object;
}

/** Nobody works on them any more. */
async function stacks(): Promise<Stack[]> {
  const found: Stack[] = (await director.get('/stacks')).body.stacks;
  for (const { lease } of found) expect(lease).toBeUndefined();
  return found;
}

async function versions(): Promise<Record<string, number>> {
  return Object.fromEntries((await stacks()).map(({ stack, version }) => [stack, version]));
}

const commandsOf = ({ documents }: Recording): RecordedDocument[] =>
  documents.filter(({ collection }) => collection === 'commands');

function expectOneLastWord(command: string, type: 'completed' | 'failed' | 'rejected'): void {
  const ids = world.recorder.lastWordsOn(command).map(({ attributes }) => attributes['ce-id']);
  expect(new Set(ids)).toEqual(new Set([`${command}.${type}`]));
}

/** What came before is known again: the same answer, and no second effect. */
async function expectKnown({ messages }: Recording): Promise<void> {
  const since = world.now();
  for (const { topic, attributes, body } of messages) {
    const id = attributes['ce-id'] ?? '';
    const { status, answer } = (await director.get(`/commands/${id}`)).body;
    // Of what could not be read there is nothing to do twice.
    if (status === 'rejected') continue;
    const words = world.recorder.lastWordsOn(id).length;
    await world.publish(topic, body, attributes);
    await until(() => expect(world.recorder.lastWordsOn(id).length).toBeGreaterThan(words));
    expectOneLastWord(id, answer.type);
    expect((await director.get(`/commands/${id}`)).body).toMatchObject({ status, answer });
  }
  expect(world.changes(since)).toEqual([]);
}

/** What a command's journal said before is still told of it. */
async function expectStory(command: string, { documents }: Recording): Promise<void> {
  const { events } = (await director.get(`/commands/${command}`)).body;
  for (const { collection, id, value } of documents) {
    if (collection !== 'journal' || !id.startsWith(`${command}.`)) continue;
    const { type, unit, action, line } = value;
    if (type === 'intend') expect(events).toContainEqual(expect.objectContaining({ type, unit, action }));
    if (type === 'finish') expect(events).toContainEqual(expect.objectContaining({ type, ...Object(line) }));
  }
}

/** Of every command that had ended. */
async function expectHistory(recording: Recording): Promise<void> {
  const ended = commandsOf(recording).filter(({ value }) => value.endedAt !== undefined);
  expect(ended).not.toEqual([]);
  for (const { id, value } of ended) {
    const { status, answer, correlationId, endedAt } = value;
    const { body } = await director.get(`/commands/${id}`);
    expect(body).toMatchObject({ id, status, answer, correlation_id: correlationId, ended_at: endedAt });
    await expectStory(id, recording);
  }
}

/** The last architecture that was sent, as JSON. */
function architectureOf({ messages }: Recording): string {
  const told = messages.flatMap(({ body }) => JSON.parse(body).architecture?.document ?? []);
  return JSON.stringify(told.at(-1));
}

/** All that was said on the older topic under a value; each value is used once. */
function answersTo(value: string): LegacyAnswer[] {
  const answers = world.recorder.all(OLDER.completions).map(({ body }): LegacyAnswer => JSON.parse(body));
  return answers.filter((answer) => answer.value === value);
}

/** Waits for it. */
async function onlyAnswerTo(value: string): Promise<LegacyAnswer | undefined> {
  await until(() => expect(answersTo(value)).not.toEqual([]));
  expect(answersTo(value)).toHaveLength(1);
  return answersTo(value)[0];
}

const account = (name: string): string => `account/${name}@${PROJECT}.iam.gserviceaccount.com`;

test('finished: what ended is history, and the next commands go by it', async () => {
  const recording = await start('finished');
  await expectHistory(recording);
  const units = recording.documents.filter(({ collection }) => collection === 'units').length;
  expect(await stacks()).toMatchObject([
    { stack: 'fin/audit', version: 4, units: 0 },
    { stack: 'fin/orders', version: 3, units },
  ]);

  await runForNothing('dataflow-setup', 'fin.again', { scope: 'fin', dataflow: 'orders' });
  await runForNothing('deploy', 'fin.deploy-again', { scope: 'fin', dataflow: 'orders' });
  expect(world.changes(before)).toEqual([]);
  for (const { id } of commandsOf(recording)) expect(world.recorder.lastWordsOn(id)).toEqual([]);
  await expectKnown(recording);

  const since = world.now();
  // Of what is no longer described only the state tells.
  const text = architectureOf(recording)
    .replaceAll('"blue"', '"green"')
    .replace(',{"name":"fin-refunds"}', '');
  const document = JSON.parse(text);
  const changed = await run('dataflow-setup', 'fin.change', {
    architecture: { document },
    dataflow: 'orders',
  });
  expect(changed).toMatchObject({ type: 'completed', deployments: [{ version: 4 }] });
  expect(madeSince(since)).toEqual(['DeleteTopic', 'UpdateTopic']);
  expect(await versions()).toEqual({ 'fin/audit': 4, 'fin/orders': 4 });
  await tearDown('fin');
  expect(await versions()).toEqual({ 'fin/audit': 4, 'fin/orders': 5 });
});

test('cut-in-apply: what was begun is looked at, and only what is missing is made', async () => {
  const recording = await start('cut-in-apply');
  expect(await world.recorder.answerTo('cut.setup')).toMatchObject({
    type: 'completed',
    deployments: [{ status: 'succeeded', version: 1 }],
  });
  // One subscription was made, and its answer lost.
  expect(madeSince(before)).toEqual(['CreateSubscription', 'CreateTopic', 'buckets.insert']);
  expect(Object.keys(await inventoryOf(world, 'cut-'))).toEqual([
    account('api-account'),
    account('web-account'),
    'bucket/receipts',
    'subscription/orders-api',
    'subscription/refunds-api',
    'topic/orders',
    'topic/refunds',
  ]);
  await expectStory('cut.setup', recording);
  await expectKnown(recording);
  await runForNothing('dataflow-setup', 'cut.again', { scope: 'cut' });
  expect(await run('deploy', 'cut.deploy', { scope: 'cut' })).toMatchObject({
    type: 'completed',
    deployments: [{ version: 2 }],
  });
  await tearDown('cut');
  expect(await versions()).toEqual({ 'cut/flow': 3 });
});

test('queued: one that runs, one behind it and one that is only accepted come to their end in that order', async () => {
  const recording = await start('queued');
  for (const [id, version] of [
    ['que.1', 1],
    ['que.2', 2],
    ['que.3', 3],
  ] as const) {
    expect(await world.recorder.answerTo(id)).toMatchObject({
      type: 'completed',
      deployments: [{ status: 'succeeded', version }],
    });
  }
  expect(madeSince(before)).toEqual(['CreateTopic', 'CreateTopic', 'CreateTopic', 'DeleteTopic']);
  expect(Object.keys(await inventoryOf(world, 'que-'))).toEqual(['topic/b', 'topic/c', 'topic/d']);
  await expectKnown(recording);
  await runForNothing('dataflow-setup', 'que.again', { scope: 'que' });
  expect(await versions()).toEqual({ 'que/flow': 3 });
  await tearDown('que');
});

test('waiting: one without a plan yet, and one that waits for its lock', async () => {
  const recording = await start('waiting');
  for (const [id, version] of [
    ['wai.1', 1],
    ['wai.2', 2],
  ] as const) {
    expect(await world.recorder.answerTo(id)).toMatchObject({
      type: 'completed',
      deployments: [{ status: 'succeeded', version }],
    });
  }
  expect(madeSince(before)).toEqual(['CreateTopic', 'CreateTopic']);
  await expectKnown(recording);
  await runForNothing('dataflow-setup', 'wai.again', { scope: 'wai' });
  await tearDown('wai');
});

test('unsent: what was to be told is told as it was written', async () => {
  const recording = await start('unsent');
  const rows = recording.documents.filter(({ collection }) => collection === 'outbox');
  expect(rows).toHaveLength(5);
  const isHeard = (heard: Heard, { topic, body, attributes }: RecordedDocument['value']): boolean =>
    heard.topic === topic &&
    heard.body === body &&
    Object.entries(Object(attributes)).every(([name, value]) => heard.attributes[name] === value);
  for (const { id, value } of rows)
    await world.recorder.first((heard) => (isHeard(heard, value) ? heard : undefined), id);
  await expectHistory(recording);
  expect(world.changes(before)).toEqual([]);
  expectOneLastWord('uns.teardown', 'completed');
  expectOneLastWord('uns.rejected', 'rejected');
  await expectKnown(recording);
  await runForNothing('dataflow-setup', 'uns.again', { scope: 'uns', dataflow: 'flow' });
  expect(await versions()).toEqual({ 'uns/flow': 1, 'uns/other': 2 });
  await tearDown('uns');
});

test('older-form: what was asked in the older form is answered in it, and once', async () => {
  const recording = await start('older-form');
  expect(await onlyAnswerTo('orders-dependent')).toMatchObject({
    status: 'dataflow_complete',
    applied_iam: { 'service:old-api': { ResourceType: 'cloudrun_service' } },
  });
  expect(await onlyAnswerTo('other')).toMatchObject({
    status: 'dataflow_complete',
    applied_iam: { 'topic:old-other': { ResourceType: 'pubsub_topic' } },
  });
  // The service was made, and its answer lost.
  expect(madeSince(before)).toEqual(['CreateSubscription', 'CreateTopic']);
  for (const { id, value } of commandsOf(recording)) {
    if (value.status !== 'running') continue;
    expect(await world.recorder.answerTo(id)).toMatchObject({ type: 'completed' });
    await expectStory(id, recording);
  }
  await expectKnown(recording);
  expect(await versions()).toEqual({ 'old/orders': 2, 'old/other': 1 });

  await world.publish(OLDER.commands, JSON.stringify({ instruction: 'teardown', payload: {} }));
  expect(await onlyAnswerTo('')).toMatchObject({ status: 'dataflow_complete', applied_iam: {} });
  expect(await inventoryOf(world, 'old-')).toEqual({});
  expect(await versions()).toEqual({ 'old/orders': 3, 'old/other': 2 });
});

test('failed: run again, only the missing is made', async () => {
  const recording = await start('failed');
  await expectHistory(recording);
  await expectKnown(recording);
  expect(world.changes(before)).toEqual([]);
  expect(await run('deploy', 'fai.again', { scope: 'fai' })).toMatchObject({
    type: 'completed',
    deployments: [{ version: 3, urls: { 'fai-api': expect.any(String), 'fai-web': expect.any(String) } }],
  });
  expect(madeSince(before)).toEqual(['CreateService', 'CreateService']);
  await runForNothing('deploy', 'fai.nothing', { scope: 'fai' });
  await tearDown('fai');
  expect(await versions()).toEqual({ 'fai/flow': 4 });
});

test('cut-in-teardown: what is left goes, and what others use stays', async () => {
  const recording = await start('cut-in-teardown');
  expect(await world.recorder.answerTo('tea.teardown')).toMatchObject({
    type: 'completed',
    deployments: [{ status: 'succeeded', version: 2 }],
  });
  // The account was removed, and its answer lost.
  expect(madeSince(before)).toEqual(['buckets.delete']);
  expect(Object.keys(await inventoryOf(world, 'tea-'))).toEqual([account('account'), 'topic/second']);
  await expectStory('tea.teardown', recording);
  await expectKnown(recording);
  await runForNothing('dataflow-setup', 'tea.again', { scope: 'tea', dataflow: 'second' });
  expect(await versions()).toEqual({ 'tea/first': 2, 'tea/second': 1 });
  await tearDown('tea');
});
