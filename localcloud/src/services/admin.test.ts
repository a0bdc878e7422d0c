import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningCloud, startLocalCloud } from '../index.ts';

const dir = mkdtempSync(join(tmpdir(), 'localcloud-admin-'));
let running: RunningCloud;

beforeAll(async () => {
  running = await startLocalCloud({ dir, propagationMs: 0, project: 'admin-local' });
});

afterAll(async () => {
  await running.stop();
  rmSync(dir, { recursive: true });
});

interface Body {
  readonly rules: object[];
  readonly calls: { method: string }[];
  readonly next: number;
  readonly access_token: string;
  readonly expires_in: number;
  readonly error: { message: string };
}

const ask = async (path: string, init: RequestInit = {}): Promise<{ status: number; body: Body }> => {
  const response = await fetch(`${running.origin}${path}`, init);
  return { status: response.status, body: (await response.json()) as Body };
};
const topic = (name: string) => ask(`/v1/projects/admin-local/topics/${name}`, { method: 'PUT', body: '{}' });

test('rules are put in place, hit as often as they say, and are taken away', async () => {
  const rules = [{ api: 'pubsub', method: 'CreateTopic', error: 'UNAVAILABLE', count: 2 }];
  expect((await ask('/_local/faults', { method: 'PUT', body: JSON.stringify(rules) })).status).toBe(200);
  expect([(await topic('one')).status, (await topic('one')).status, (await topic('one')).status]).toEqual([
    503, 503, 200,
  ]);
  expect((await ask('/_local/faults')).body.rules).toEqual([{ ...rules[0], hits: 2 }]);
  await ask('/_local/faults', { method: 'PUT', body: '{"rules": []}' });
  expect((await ask('/_local/faults')).body.rules).toEqual([]);
});

test('a rule that is wrong is refused with its place, and nothing changes', async () => {
  const wrong = await ask('/_local/faults', { method: 'PUT', body: '[{"api": "pubsub"}, {"metod": "x"}]' });
  expect(wrong.status).toBe(400);
  expect(wrong.body.error.message).toContain('rules[1]: unknown field "metod"');
  expect(
    (await ask('/_local/faults', { method: 'PUT', body: '[{"error": "SOMETIMES"}]' })).body.error.message,
  ).toContain('rules[0].error');
  expect((await ask('/_local/faults')).body.rules).toEqual([]);
});

test('calls can be read from where one left off', async () => {
  const { next } = (await ask('/_local/calls')).body;
  await topic('two');
  await topic('two');
  const { calls } = (await ask(`/_local/calls?since=${next}`)).body;
  const made = calls.filter(({ method }) => method === 'CreateTopic');
  expect(made).toMatchObject([
    { api: 'pubsub', resource: 'projects/admin-local', mutating: true, code: 'OK' },
    { code: 'ALREADY_EXISTS' },
  ]);
});

test('it is the developer who looks: nobody else may', async () => {
  const token = running.cloud.tokens.access(
    { type: 'serviceAccount', email: 'x@admin-local.iam.gserviceaccount.com' },
    60,
  );
  const refused = await ask('/_local/status', { headers: { authorization: `Bearer ${token}` } });
  expect([401, 403]).toContain(refused.status);
  expect((await ask('/_local/status')).body).toMatchObject({ project: 'admin-local', propagation_ms: 0 });
});

test('a token of the developer is good for a week, and given to nobody else', async () => {
  const { body } = await ask('/_local/token', { method: 'POST' });
  expect(body).toEqual({ access_token: expect.stringMatching(/^ya29\./), expires_in: 604_800 });
  const { cloud } = running;
  const { identity, expiresAt } = cloud.tokens.inspect(body.access_token) ?? {};
  expect(identity).toMatchObject({ email: 'developer@example.com' });
  expect(expiresAt).toBeGreaterThan(cloud.clock.now() + 6 * 86_400_000);
  const stranger = cloud.tokens.access({ type: 'user', email: 'stranger@example.com' }, 60);
  const refused = await ask('/_local/token', {
    method: 'POST',
    headers: { authorization: `Bearer ${stranger}` },
  });
  expect(refused.status).toBe(403);
});
