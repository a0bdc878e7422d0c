/** What is sent to the director's own API to hurt it: it says no, names why, and goes on. */
import { COMMAND_PREFIX, toAttributes } from '@service-director/shared/contract/cloud-event.ts';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startDirector } from './support/director.ts';
import { type NativeDirector, openNative } from './support/native.ts';
import { OLDER, openWorld } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let director: NativeDirector;

beforeAll(async () => {
  director = await openNative();
});
afterAll(async () => {
  await director.close();
  expect(director.mistakes).toEqual([]);
});

const deploy = (body: string, headers: Record<string, string> = {}) =>
  director.post('/v1/commands/deploy', body, headers);

test('a body that is too large is not read', async () => {
  const huge = JSON.stringify({ dataflow: 'x'.repeat(10 * 1024 * 1024) });
  const refused = await deploy(huge);
  expect(refused).toMatchObject({ status: 413, body: { type: 'urn:service-director:problem:too-large' } });
  expect((await director.get('/health')).status).toBe(200);
});

test('JSON that is deeper than anything that means something is refused, however deep', async () => {
  for (const depth of [110, 10_000, 1_000_000]) {
    for (const body of [
      '['.repeat(depth) + ']'.repeat(depth),
      `{"dataflow":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`,
    ]) {
      const refused = await deploy(body);
      expect(refused.status, String(depth)).toBe(400);
      expect(refused.body.detail).toMatch(/nested deeper than 100/);
    }
  }
  expect((await deploy(`{"about":${'['.repeat(90)}${']'.repeat(90)}}`)).body.errors).not.toEqual([]);
});

test('nor is it taken from Pub/Sub: it is answered with why, kept as refused, and the next command is taken', async () => {
  const world = await openWorld();
  try {
    const real = await startDirector(world);
    await real.ready();
    const told = (id: string): Record<string, string> =>
      toAttributes({
        id,
        source: 'a-test',
        type: `${COMMAND_PREFIX}deploy`,
        time: new Date().toISOString(),
        correlationId: id,
      });
    for (const [id, depth] of [
      ['deep', 101],
      ['deeper', 1_000_000],
    ] as const) {
      const body = `{"dataflow":"x","about":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`;
      await world.publish('deploy', body, told(id));
      const answer = await world.recorder.answerTo(id);
      const error = 'The command is nested deeper than 100 levels';
      expect(answer).toMatchObject({ type: 'rejected', command: id, error, fix: 'send it flatter' });
      expect((await real.get(`/v1/commands/${id}`)).body).toMatchObject({ id, status: 'rejected' });
    }
    // As deep as may be, it is refused for what it says.
    const most = `{"about":${'['.repeat(99)}${']'.repeat(99)}}`;
    await world.publish('deploy', most, told('deep-enough'));
    const answer = await world.recorder.answerTo('deep-enough');
    expect(answer).toMatchObject({ type: 'rejected', error: expect.stringContaining('The data of deploy') });
    // In the older form it is answered on the older topic.
    const payload = `{"dataflow_name":"old-and-deep","more":${'['.repeat(200)}${']'.repeat(200)}}`;
    await world.publish(OLDER.commands, `{"instruction":"teardown","payload":${payload}}`);
    await world.recorder.first(
      ({ topic, body }) => (topic === OLDER.completions && body.includes('nested deeper') ? true : undefined),
      'the refusal in the older form',
    );
    await world.send('teardown', 'flat', { dataflow: 'nobody' });
    expect((await world.recorder.answerTo('flat')).type).not.toBe('rejected');
    expect((await real.get('/health')).status).toBe(200);
  } finally {
    await world.stop();
  }
});

test('what is no JSON, or does not say that it is, is refused', async () => {
  for (const body of ['{', 'null', '[]', '"x"', '1', '{"dataflow":"a"} x', '\u0000'])
    expect(await deploy(body), body).toMatchObject({
      status: 400,
      body: { type: 'urn:service-director:problem:invalid' },
    });
  // What a form on a page of anybody's can send without being asked.
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])
    expect(await deploy('{"dataflow":"x"}', { 'content-type': type }), type).toMatchObject({
      status: 415,
      body: { type: 'urn:service-director:problem:not-json' },
    });
});

test('names that mean something to JavaScript mean nothing here', async () => {
  for (const key of ['__proto__', 'constructor', 'prototype']) {
    const { status, body } = await deploy(`{"${key}":{"polluted":true},"dataflow":"x"}`);
    expect(status, key).toBe(400);
    expect(body.errors, key).toContainEqual({
      in: 'body',
      pointer: `/${key}`,
      detail: 'there is no such field',
    });
  }
  expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  expect((await director.get('/v1/deployments?__proto__=x')).status).toBe(400);
  expect((await director.get('/v1/commands/__proto__')).status).toBe(404);
});

test('wrong types of every field are each named', async () => {
  const fields = {
    dry_run: 'yes',
    timeout_seconds: '60',
    priority: 1,
    reason: '',
    dataflow: null,
    scope: 7,
  };
  const { body } = await deploy(JSON.stringify(fields));
  expect(body.errors.map(({ pointer }: { pointer: string }) => pointer).sort()).toEqual(
    Object.keys(fields)
      .map((name) => `/${name}`)
      .sort(),
  );
});

test('what is refused is not repeated in full, and holds nothing of the inside', async () => {
  const refused = await deploy(JSON.stringify({ dataflow: 7, password: 'hunter2' }));
  expect(JSON.stringify(refused.body)).not.toContain('hunter2');
  expect(JSON.stringify(refused.body)).not.toMatch(/node_modules|\.ts:|at Object/);
});
