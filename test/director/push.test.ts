/** Commands that Pub/Sub pushes: from the one account that may, and again when they could not be written down. */
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector, stateFile } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { OLDER, openWorld, PROJECT, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const PUSHER = `pusher-account@${PROJECT}.iam.gserviceaccount.com`;
const OTHER = `other-account@${PROJECT}.iam.gserviceaccount.com`;
const AUDIENCE = 'https://director.example';

let world: World;
let director: DirectorProcess;

beforeAll(async () => {
  world = await openWorld();
  for (const email of [PUSHER, OTHER]) {
    const [accountId] = email.split('@');
    await world.call('POST', `/v1/projects/${PROJECT}/serviceAccounts`, { accountId });
  }
  director = await startDirector(world, {
    env: {
      DIRECTOR_DELIVERY: 'push',
      DIRECTOR_ACCESS: 'verified',
      DIRECTOR_PUSH_ACCOUNT: 'pusher-account',
      DIRECTOR_AUDIENCE: AUDIENCE,
    },
  });
  const pushConfig = {
    pushEndpoint: `${director.url}/push`,
    oidcToken: { serviceAccountEmail: PUSHER, audience: AUDIENCE },
  };
  for (const topic of ['dataflow-setup', 'deploy', 'teardown', OLDER.commands])
    await world.call('POST', `/v1/projects/${PROJECT}/subscriptions/${topic}-sub:modifyPushConfig`, {
      pushConfig,
    });
});
afterAll(() => world.stop());

const topicOnly = (name: string): object =>
  documentOf(name, { flow: ephemeral({ resources: { topics: [{ name: `${name}-topic` }] } }) });

test('commands are taken as they are pushed, in both forms, and what cannot be read is not pushed again', async () => {
  await world.send('dataflow-setup', 'pushed.setup', { architecture: { document: topicOnly('pushed') } });
  expect(await world.recorder.answerTo('pushed.setup')).toMatchObject({ type: 'completed' });
  const older = await world.publish(
    OLDER.commands,
    '{"instruction":"teardown","payload":{"dataflow_name":"flow"}}',
  );
  expect(await world.recorder.answerTo(`pubsub-${older}`)).toMatchObject({
    type: 'completed',
    command_type: 'teardown',
  });
  const bad = await world.publish('deploy', 'not JSON');
  expect(await world.recorder.answerTo(`pubsub-${bad}`)).toMatchObject({ type: 'rejected' });
  await world.send('deploy', 'pushed.after', { scope: 'pushed' });
  await world.recorder.answerTo('pushed.after');
  expect(world.recorder.lastWordsOn(`pubsub-${bad}`)).toHaveLength(1);
  // It has no stream that could break.
  expect(await director.get('/ready')).toMatchObject({ status: 200, body: { ready: true } });
});

test('a push is taken from the one account that may, and only with its token', async () => {
  const { tokens } = world.running.cloud;
  const tokenOf = (email: string, audience = AUDIENCE): string =>
    tokens.identityToken({ email, uniqueId: '123' }, audience);
  const message = { messageId: '1', data: Buffer.from('{"dataflow":"flow"}').toString('base64') };
  const body = { message, subscription: `projects/${PROJECT}/subscriptions/deploy-sub` };
  const push = async (
    authorization?: string,
    sent: object = body,
    more: Readonly<Record<string, string>> = {},
  ): Promise<number> => {
    const headers = {
      'content-type': 'application/json',
      ...(authorization ? { authorization } : {}),
      ...more,
    };
    const response = await fetch(`${director.url}/push`, {
      method: 'POST',
      headers,
      body: JSON.stringify(sent),
    });
    if (response.status !== 204)
      expect(response.headers.get('content-type')).toContain('application/problem+json');
    return response.status;
  };
  expect(await push()).toBe(401);
  expect(await push('Bearer nonsense')).toBe(401);
  expect(await push(`Bearer ${tokenOf(PUSHER, 'https://elsewhere.example')}`)).toBe(401);
  expect(await push(`Bearer ${tokenOf(OTHER)}`)).toBe(403);
  expect(await push(`Bearer ${tokenOf(PUSHER)}`, { message: {} })).toBe(400);
  const elsewhere = { ...body, subscription: `projects/${PROJECT}/subscriptions/somebody-elses` };
  expect(await push(`Bearer ${tokenOf(PUSHER)}`, elsewhere)).toBe(404);
  // Where both headers come, Cloud Run checks this one, and lets whoever it is of in.
  const checked = (email: string) => ({ 'x-serverless-authorization': `Bearer ${tokenOf(email)}` });
  expect(await push(`Bearer ${tokenOf(PUSHER)}`, body, checked(OTHER))).toBe(403);
  expect(world.recorder.about('pubsub-1')).toEqual([]);
  expect(await push(`Bearer ${tokenOf(PUSHER)}`)).toBe(204);
  await world.recorder.answerTo('pubsub-1');
  expect(await push('Bearer nonsense', body, checked(PUSHER))).toBe(204);
  // Its other doors stay shut for whoever may push.
  expect((await director.get('/commands', { authorization: `Bearer ${tokenOf(PUSHER)}` })).status).toBe(403);
});

test('a command that cannot be written down is pushed again, and then done once', async () => {
  const db = new DatabaseSync(stateFile(world));
  db.exec('PRAGMA busy_timeout = 10000; ALTER TABLE documents RENAME TO elsewhere');
  await world.send('dataflow-setup', 'again.setup', { architecture: { document: topicOnly('again') } });
  await until(() =>
    expect(director.output().match(/a request failed .*cannot be (read|written)/g)?.length).toBeGreaterThan(
      1,
    ),
  );
  expect(world.recorder.about('again.setup')).toEqual([]);
  db.exec('ALTER TABLE elsewhere RENAME TO documents');
  db.close();
  expect(await world.recorder.answerTo('again.setup')).toMatchObject({
    type: 'completed',
    deployments: [{ version: 1 }],
  });
  expect(
    world.changes().filter(({ method, code }) => method === 'CreateTopic' && code === 'OK'),
  ).toHaveLength(2);
});
