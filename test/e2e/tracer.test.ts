/** The tracer: the first up on an empty cloud where grants take long, and what a service may not do. */

import type { UpResult } from '@service-director/conductor';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ground, openGround, type Recorded } from './support.ts';
import { worldOf } from './world.ts';

const PROJECT = 'tracer-local';
const PROPAGATION_MS = 20_000;

let ground: Ground;
let tracer: string;
let first: Recorded;
let result: UpResult;

beforeAll(async () => {
  ground = await openGround({ propagationMs: PROPAGATION_MS });
  tracer = ground.example('tracer');
  first = ground.conductor(tracer);
  result = await first.run();
}, 280_000);

afterAll(async () => {
  await ground?.stop();
});

/** What a service account may do, asked as itself. */
async function asAccount(account: string): Promise<Record<string, string>> {
  const email = `${account}@${PROJECT}.iam.gserviceaccount.com`;
  const response = await fetch(
    `${ground.origin}/v1/projects/-/serviceAccounts/${email}:generateAccessToken`,
    {
      method: 'POST',
      headers: { authorization: `Bearer ${await directorToken()}` },
      body: JSON.stringify({ scope: ['https://www.googleapis.com/auth/cloud-platform'] }),
    },
  );
  const { accessToken } = (await response.json()) as { accessToken?: string };
  if (accessToken === undefined) throw new Error(`No token of ${account}`);
  return { authorization: `Bearer ${accessToken}` };
}

/** The director may act as the accounts that it manages; the developer is made able to act as the director. */
async function directorToken(): Promise<string> {
  const director = `projects/${PROJECT}/serviceAccounts/service-director@${PROJECT}.iam.gserviceaccount.com`;
  const policy = {
    bindings: [{ role: 'roles/iam.serviceAccountTokenCreator', members: ['user:developer@example.com'] }],
  };
  await fetch(`${ground.origin}/v1/${director}:setIamPolicy`, {
    method: 'POST',
    body: JSON.stringify({ policy }),
  });
  let token: string | undefined;
  await expect
    .poll(
      async () => {
        const response = await fetch(`${ground.origin}/v1/${director}:generateAccessToken`, {
          method: 'POST',
          body: JSON.stringify({ scope: ['https://www.googleapis.com/auth/cloud-platform'] }),
        });
        token = ((await response.json()) as { accessToken?: string }).accessToken;
        return token !== undefined;
      },
      { timeout: 2 * PROPAGATION_MS, interval: 500 },
    )
    .toBe(true);
  return token ?? '';
}

test('the first up succeeds although grants take twenty seconds, and says what it waits for (G7, G12)', () => {
  expect(first.events.at(-1)).toMatchObject({ type: 'completed' });
  expect(Object.keys(result.summary.urls).sort()).toEqual(['publisher', 'subscriber']);
  const waits = first.events.flatMap((event) => {
    if (event.type === 'task-waiting') return [event.because];
    return event.type === 'director' && event.event.type === 'unit-waiting' ? [event.event.because] : [];
  });
  expect(waits.join('\n')).toMatch(/Service account .* does not exist/);
  expect(waits.join('\n')).toMatch(
    /roles\/pubsub\.subscriber.*tracer-subscriber.*traces-subscriber to take effect/,
  );
});

test('a service can do what the YAML gives it, and nothing else (G11)', async () => {
  const headers = await asAccount('tracer-subscriber');
  const publish = (topic: string) =>
    fetch(`${ground.origin}/v1/projects/${PROJECT}/topics/${topic}:publish`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ messages: [{ data: Buffer.from('x').toString('base64') }] }),
    });
  expect((await publish('verify')).status).toBe(200);
  const refused = await publish('traces');
  expect(refused.status).toBe(403);
  expect(await refused.text()).toContain('PERMISSION_DENIED');
}, 120_000);

test('traces get from one service to the other, into the bucket', async () => {
  const token = (await (
    await fetch(`${ground.origin}/computeMetadata/v1/instance/service-accounts/default/token`, {
      headers: { 'metadata-flavor': 'Google' },
    })
  ).json()) as { access_token: string };
  const response = await fetch(`${result.summary.urls.publisher}/trace`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token.access_token}`, 'content-type': 'application/json' },
    body: '{"count": 3}',
  });
  const { ids } = (await response.json()) as { ids: string[] };
  for (const id of ids) {
    await expect
      .poll(
        async () =>
          (
            await fetch(
              `${ground.origin}/storage/v1/b/tracer-local-traces/o/${encodeURIComponent(`traces/${id}.json`)}`,
            )
          ).status,
        { timeout: 60_000 },
      )
      .toBe(200);
  }
}, 90_000);

test('down of an architecture that is all ephemeral leaves nothing of it (G15)', async () => {
  await ground.conductor(tracer).teardown();
  const left = await worldOf(ground.origin, PROJECT);
  expect([
    left.topics,
    left.subscriptions,
    left.buckets,
    left.accounts,
    left.services,
    left.repositories,
  ]).toEqual([[], [], [], [], [], []]);
}, 120_000);
