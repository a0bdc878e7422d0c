/**
 * The dialect at `/api`: what of its promises takes no tool. Logs that are told while they are written, who has read
 * what, time of one’s own. Its engine is on paper.
 */

import { STREAMING } from '@service-director/director/http/listening.ts';
import type { Caller } from '@service-director/director/http/roles.ts';
import { readsOfStack } from '@service-director/director/http/stacks.ts';
import { keys } from '@service-director/director/store/records.ts';
import type { Plan, PlannedUnit } from '@service-director/shared/engine/plan.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { type StackId, unitId } from '@service-director/shared/model/unit.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { demandDocumented } from './support/contract.ts';
import type { Client } from './support/dharma.ts';
import { openPaperDharma, type PaperDharma } from './support/dharma-paper.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { openNative } from './support/native.ts';
import type { PaperEngine } from './support/paper-engine.ts';
import { until } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let at: PaperDharma;
let client: Client;
let paper: PaperEngine;
beforeAll(async () => {
  at = await openPaperDharma();
  ({ client, paper } = at);
});
afterAll(() => at.close());

const EVENTS = { accept: 'text/event-stream' };
const LINES = { accept: 'application/x-ndjson' };

interface Listener {
  readonly response: Response;
  /** All that came so far. */
  text(): string;
  /** Resolves when it has ended. */
  readonly over: Promise<void>;
}

async function listenTo(path: string, headers: Record<string, string>): Promise<Listener> {
  const response = await fetch(at.url + path, { headers });
  const [status, type] = [response.status, response.headers.get('content-type') ?? ''];
  demandDocumented({ method: 'GET', path, status, type, body: '' });
  let text = '';
  async function read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const part of response.body ?? []) text += decoder.decode(part, { stream: true });
  }
  return { response, text: () => text, over: read() };
}

const eventsIn = (text: string): { id: string; event: string; data: unknown }[] =>
  [...text.matchAll(/^id: (.*)\nevent: (.*)\ndata: (.*)\n\n/gm)].map(
    ([, id = '', event = '', data = '']) => ({ id, event, data: JSON.parse(data) }),
  );

const document = documentOf('flow', { flow: ephemeral({ resources: { topics: [{ name: 'a-topic' }] } }) });

/** With so many resources that are made, half of them within a module. */
function planOf(count: number): Plan {
  const inner = Math.floor(count / 2);
  const resources = Array.from({ length: inner }, (_, place) => ({
    ...{ address: `a.b${place}`, type: 'a', action: 'create' as const },
  }));
  const common = { after: [], seconds: 1, outputs: {} };
  const topics = Array.from(
    { length: count - inner },
    (_, place): PlannedUnit => ({
      ...{ ...common, id: unitId('topic', `t${place}`), kind: 'topic', change: { action: 'create' } },
    }),
  );
  const change = { action: inner === 0 ? 'none' : 'update', fields: [] } as const;
  return {
    ...{ stack: 'flow/flow', operation: 'dataflow-setup', externals: [], grants: [], seconds: 1 },
    ...{ criticalPath: [], warnings: [], hash: 'x' },
    units: [...topics, { ...common, id: unitId('module', 'm'), kind: 'module', change, resources }],
  };
}

describe('logs while they are written', () => {
  test('as events, with the same lines, and how it ended (D54)', async () => {
    const goOn = paper.hold('main');
    const id = await client.start(at.wish('streamed', at.newJob()));
    const path = `/api/deployments/${id}/logs`;
    const { response, text, over } = await listenTo(path, EVENTS);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    await until(() => expect(text()).toContain('paper.one: Creation complete'));
    // It has not ended: nobody was made to wait for that.
    expect((await client.curl(`/api/deployments/${id}`)).body.status).toBe('applying');
    goOn();
    await over;
    const events = eventsIn(text());
    const { body } = await client.curl(path);
    expect(events.slice(0, -1).map(({ data }) => data)).toEqual(body.logs);
    expect(new Set(events.slice(0, -1).map(({ event }) => event))).toEqual(new Set(['log']));
    expect(events.at(-1)).toMatchObject({
      event: 'end',
      id: expect.stringMatching(/^\d+-end$/),
      data: { deploymentId: id, status: 'completed' },
    });

    // Whoever comes back gets what came after, and after the end nothing.
    const middle = events[1]?.id ?? '';
    const resumed = await listenTo(path, { ...EVENTS, 'last-event-id': middle });
    await resumed.over;
    expect(eventsIn(resumed.text())).toEqual(events.slice(2));
    const told = await listenTo(path, { ...EVENTS, 'last-event-id': events.at(-1)?.id ?? '' });
    expect(told.response.status).toBe(204);
    expect((await client.curl(path, undefined, { ...EVENTS, 'last-event-id': 'x' })).status).toBe(400);
  });

  test('as lines of JSON, of one that fails, with why (D54)', async () => {
    paper.fail('main', 'insufficient permissions');
    const id = await client.start(at.wish('streamed-bad', at.newJob()));
    const { response, text, over } = await listenTo(`/api/deployments/${id}/logs`, LINES);
    expect(response.headers.get('content-type')).toMatch(/^application\/x-ndjson/);
    await over;
    paper.fail('main', undefined);
    const lines = text()
      .split('\n')
      .flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
    const { body } = await client.curl(`/api/deployments/${id}/logs`);
    expect(lines.slice(0, -1)).toEqual(body.logs);
    expect(lines.at(-2)).toMatchObject({ level: 'error', resource: null });
    expect(lines.at(-2).message).toMatch(/^Deployment failed: .*insufficient permissions/);
    expect(lines.at(-1)).toMatchObject({
      type: 'end',
      status: 'failed',
      error: expect.stringContaining('insufficient permissions'),
    });
  });

  test('a caller listens only so often at once, and is told when to come again (D54)', async () => {
    const goOn = paper.hold('main');
    const id = await client.start(at.wish('streamed-often', at.newJob()));
    const path = `/api/deployments/${id}/logs`;
    const most = STREAMING.mostEach;
    const streams = await Promise.all(Array.from({ length: most }, () => listenTo(path, EVENTS)));
    expect(new Set(streams.map(({ response }) => response.status))).toEqual(new Set([200]));
    const refused = await fetch(at.url + path, { headers: EVENTS });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '10']);
    expect(await refused.json()).toEqual({ error: `local listens ${most} times already` });
    goOn();
    await Promise.all(streams.map(({ over }) => over));
    expect((await listenTo(path, EVENTS)).response.status).toBe(200);
  });

  test('whoever asks for anything else gets them as ever (D54)', async () => {
    const { id } = await at.deployed('polled');
    for (const accept of ['*/*', 'application/json', 'text/html', 'text/html, */*;q=0.1']) {
      const { status, body } = await client.curl(`/api/deployments/${id}/logs`, undefined, { accept });
      expect([status, Object.keys(body)], accept).toEqual([200, ['deploymentId', 'logs']]);
    }
    expect((await fetch(`${at.url}/api/deployments/nobody/logs`, { headers: EVENTS })).status).toBe(404);
  });
});

describe('who reads what is kept', () => {
  const caller = (name: string): Caller => ({
    name,
    grants: [{ role: 'admin', environments: undefined, mayApproveOwn: true }],
  });

  test('is noted: who, when and what, once a minute (D158)', async () => {
    const { id } = await at.deployed('watched');
    const stack = await stackOf(id);
    const path = `/api/deployments/${id}`;
    try {
      at.as(caller('ada@example.com'));
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => client.curl(`${path}/state`)).concat(
          client.curl(`${path}/state/history`),
        ),
      );
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
      at.as(caller('jo@example.com'));
      // It is told with the state that it left.
      await client.curl(path);
    } finally {
      at.as(undefined);
    }
    await at.reads.settled();
    const trail = await readsOfStack(stack, 100, at.store);
    expect(trail.intact).toBe(true);
    const of = (who: string): string[] =>
      trail.entries.filter((entry) => entry.who === who).map(({ what }) => what);
    expect(of('ada@example.com').toSorted()).toEqual(['history', 'state']);
    expect(of('jo@example.com')).toEqual(['state']);
    for (const { at: when } of trail.entries) expect(Date.parse(when)).toBeLessThanOrEqual(Date.now());
  });

  test('of a row that is changed the trail tells (D158)', async () => {
    const { id } = await at.deployed('robbed');
    const stack = await stackOf(id);
    await client.curl(`/api/deployments/${id}/state`);
    await client.curl(`/api/deployments/${id}/state/history`);
    await at.reads.settled();
    const row = await at.store.get<object>(keys.audit(keys.reads(stack), 1));
    if (!row) throw new Error('There is no row');
    const key = keys.audit(keys.reads(stack), 1);
    const value = { ...row.value, by: 'nobody@example.com' };
    await at.store.commit([{ type: 'put', key, value, if: row.version }]);
    expect(await readsOfStack(stack, 100, at.store)).toMatchObject({ intact: false, broken_at: 1 });
  });

  test('where it cannot be noted, it is read all the same (D158)', async () => {
    const { id } = await at.deployed('unnoted');
    const stack = await stackOf(id);
    await at.reads.settled();
    // Somebody has taken the place of its next row.
    const head = await at.store.get<{ sequence: number }>(keys.auditHead(keys.reads(stack)));
    const key = keys.audit(keys.reads(stack), (head?.value.sequence ?? 0) + 1);
    await at.store.commit([{ type: 'put', key, value: {}, if: 'absent' }]);
    try {
      at.as(caller('late@example.com'));
      expect((await client.curl(`/api/deployments/${id}/state`)).status).toBe(200);
    } finally {
      at.as(undefined);
    }
    await at.reads.settled();
    expect(at.troubles.splice(0).join('\n')).toContain(`the trail of reads of ${stack}`);
  });

  async function stackOf(id: string): Promise<StackId> {
    const found = await at.store.get<{ deployments: string[] }>(keys.command(id));
    const deployment = found?.value.deployments[0] ?? '';
    const record = await at.store.get<{ stack: StackId }>(keys.deployment(deployment));
    if (!record) throw new Error(`${id} came to nothing`);
    return record.value.stack;
  }
});

describe('time', () => {
  test('that deployments took is told by how many resources they changed (D162)', async () => {
    const director = await openNative();
    try {
      // Seconds, and how many resources; of one without any, nothing was done.
      const took: [number, number][] = [
        [10, 1],
        [30, 5],
        [20, 3],
        [60, 6],
        [90, 20],
        [600, 21],
        [5, 0],
        [3_600, 51],
      ];
      for (const [place, [seconds, count]] of took.entries()) {
        const id = `took-${place}`;
        const headers = { 'idempotency-key': id };
        await director.post('/v1/commands/dataflow-setup', { architecture: { document } }, headers);
        const begun = Date.parse('2026-01-01T00:00:00.000Z');
        const plan = planOf(count);
        await director.write(`${id}.flow`, {
          ...{ status: 'succeeded', plan, startedAt: timestamp(begun - 5_000_000) },
          // It waited for an approval: that does not count.
          ...{ resumedAt: timestamp(begun), endedAt: timestamp(begun + seconds * 1000) },
        });
      }
      const { body } = await director.get('/v1/durations');
      const told = (deployments: number, median: number, average: number, longest: number): object => ({
        ...{ deployments, median_seconds: median, average_seconds: average, longest_seconds: longest },
      });
      expect(body).toEqual({
        sizes: [
          { resources: '1-5', ...told(3, 20, 20, 30) },
          { resources: '6-20', ...told(2, 60, 75, 90) },
          { resources: '21-50', ...told(1, 600, 600, 600) },
          { resources: '51+', ...told(1, 3_600, 3_600, 3_600) },
        ],
      });
      director.callAs({ name: 'jo@example.com', grants: [] });
      expect((await director.get('/v1/durations')).status).toBe(403);
      expect((await director.get('/v1/doctor')).status).toBe(403);
    } finally {
      await director.close();
    }
  });

  test('of one deployment can be more than the director gives to others, or less (D162)', async () => {
    const goOn = paper.hold('main');
    const hasty = await client.start(at.wish('hasty', at.newJob(), { options: { timeout: 1_000 } }));
    expect(await client.ended(hasty)).toMatchObject({
      status: 'failed',
      error: expect.stringContaining('it was not done within 1 s'),
    });
    goOn();
    const id = await client.start(at.wish('patient', at.newJob(), { options: { timeout: 7_200_000 } }));
    const found = await at.store.get<{ command: { data: object } }>(keys.command(id));
    expect(found?.value.command.data).toMatchObject({ timeout_seconds: 7_200 });
    await client.ended(id);
    for (const timeout of [0, 999, 86_400_001, '1000']) {
      const { status, body } = await client.curl(
        '/api/deployments',
        at.wish('never', 'never', { options: { timeout } }),
      );
      expect(status, String(timeout)).toBe(400);
      expect(body.error).toContain('options.timeout');
    }
  });
});
