/** `local env`: with nothing but these variables, programs talk to the local cloud, and to nobody else. */
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { run } from '@service-director/shared/kit/process.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CONDUCTOR, type LocalCli, startLocalCli } from './local-cli.ts';

let local: LocalCli;
let variables: Record<string, string>;

beforeAll(async () => {
  local = await startLocalCli();
  const { stdout } = await local.conductor('local', 'env', '--dir', local.cloudDir, '--format', 'json');
  variables = JSON.parse(stdout);
});
afterAll(async () => {
  await local.end();
});

/** Prints the variables that a program finds, of those that it was to be given. */
const SHOW = `process.stdout.write(JSON.stringify(Object.fromEntries(
  Object.entries(process.env).filter(([name]) => /^(CLOUDSDK|GOOGLE|GCE|PUBSUB|STORAGE|METADATA|SERVICE_DIRECTOR)_/.test(name)),
)))`;

test('start says on one line where it is', () => {
  expect(local.ready).toMatchObject({
    type: 'ready',
    origin: `http://127.0.0.1:${local.ready.port}`,
    project: 'local-project',
    pid: expect.any(Number),
    propagationMs: 0,
  });
});

test('a shell that evaluates it passes the same variables on', async () => {
  const script = `eval "$('${process.execPath}' '${CONDUCTOR}' local env --dir '${local.cloudDir}')" && '${process.execPath}' -e '${SHOW.replaceAll("'", `'\\''`)}'`;
  for (const shell of ['bash', 'sh']) {
    const { code, stdout, stderr } = await run(shell, ['-c', script], { env: local.bare });
    expect([code, stderr]).toEqual([0, '']);
    expect(withoutToken(JSON.parse(stdout))).toEqual(withoutToken(variables));
  }
});

test('as a file of variables it says the same', async () => {
  const { stdout } = await local.conductor('local', 'env', '--dir', local.cloudDir, '--format', 'dotenv');
  const file = join(local.dir, '.env');
  writeFileSync(file, stdout);
  const shown = await run(process.execPath, [`--env-file=${file}`, '-e', SHOW], { env: local.bare });
  expect(withoutToken(JSON.parse(shown.stdout))).toEqual(withoutToken(variables));
});

const CLIENTS = `
import { PubSub } from '@google-cloud/pubsub';
import { Storage } from '@google-cloud/storage';
const pubsub = new PubSub();
const [topic] = await pubsub.createTopic('orders');
const [subscription] = await topic.createSubscription('worker');
const messageId = await topic.publishMessage({ data: Buffer.from('hello') });
const heard = await new Promise((done) => subscription.once('message', (message) => {
  message.ack();
  done([message.id, message.data.toString()]);
}));
await subscription.close();
await pubsub.close();
const [bucket] = await new Storage().createBucket('things');
await bucket.file('note.txt').save('hello');
const [note] = await bucket.file('note.txt').download();
process.stdout.write(JSON.stringify({ topic: topic.name, isSame: heard[0] === messageId, data: heard[1], note: note.toString() }));
`;

test("Google's Node clients need no more", async () => {
  const { code, stdout, stderr } = await run(process.execPath, ['--input-type=module', '--eval', CLIENTS], {
    cwd: import.meta.dirname,
    env: { ...local.bare, ...variables },
  });
  expect([code, stderr]).toEqual([0, '']);
  expect(JSON.parse(stdout)).toEqual({
    topic: 'projects/local-project/topics/orders',
    isSame: true,
    data: 'hello',
    note: 'hello',
  });
});

test('what is not served here is not fetched from Google either', async () => {
  const answer = await new Promise<string>((done, fail) => {
    request({
      host: variables.CLOUDSDK_PROXY_ADDRESS,
      port: variables.CLOUDSDK_PROXY_PORT,
      method: 'CONNECT',
      path: 'secretmanager.googleapis.com:443',
    })
      .once('connect', ({ statusCode, statusMessage }) => done(`${statusCode} ${statusMessage}`))
      .once('error', fail)
      .end();
  });
  expect(answer).toBe('501 The local cloud does not serve secretmanager.googleapis.com');
});

test('without a local cloud it says how to get one', async () => {
  const { code, stdout, stderr } = await local.conductor('local', 'env', '--dir', join(local.dir, 'empty'));
  expect([code, stdout]).toEqual([69, '']);
  expect(stderr).toContain('conductor local start');
});

/** Each call mints a new one. */
function withoutToken({ CLOUDSDK_AUTH_ACCESS_TOKEN: token, ...others }: Record<string, string>): object {
  expect(token).toMatch(/^ya29\./);
  return others;
}
