import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { logging, type logging_v2 } from 'googleapis/build/src/apis/logging/index.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningCloud, startLocalCloud } from '../index.ts';
import { parseFilter } from './logging/filter.ts';

const dir = mkdtempSync(join(tmpdir(), 'logging-'));
const resource = { type: 'global', labels: { project_id: 'p' } };
let running: RunningCloud;
let client: logging_v2.Logging;

async function start(): Promise<void> {
  running = await startLocalCloud({ dir, propagationMs: 0, project: 'p' });
  client = logging({ version: 'v2', rootUrl: `${running.origin}/`, retry: false });
}

beforeAll(start);

afterAll(async () => {
  await running.stop();
  rmSync(dir, { recursive: true });
});

async function write(logName: string, ...entries: logging_v2.Schema$LogEntry[]): Promise<void> {
  await client.entries.write({ requestBody: { logName: `projects/p/logs/${logName}`, resource, entries } });
}

async function list(more: logging_v2.Schema$ListLogEntriesRequest): Promise<logging_v2.Schema$LogEntry[]> {
  const { data } = await client.entries.list({ requestBody: { resourceNames: ['projects/p'], ...more } });
  return data.entries ?? [];
}

const texts = (entries: logging_v2.Schema$LogEntry[]): unknown[] =>
  entries.map(({ textPayload }) => textPayload);

test('what is written is found again, completed, in order, page by page', async () => {
  await client.entries.write({
    requestBody: {
      logName: 'projects/p/logs/paged',
      resource,
      labels: { from: 'request', both: 'request' },
      entries: ['b', 'a', 'c'].map((textPayload, at) => ({
        textPayload,
        timestamp: `2026-01-02T03:04:0${at}Z`,
        labels: { both: 'entry' },
      })),
    },
  });
  const filter = 'log_id("paged")';
  const [first] = await list({ filter });
  expect(first).toMatchObject({
    logName: 'projects/p/logs/paged',
    resource,
    labels: { from: 'request', both: 'entry' },
    insertId: expect.any(String),
    receiveTimestamp: expect.any(String),
  });
  expect(texts(await list({ filter, orderBy: 'timestamp desc' }))).toEqual(['c', 'a', 'b']);
  const seen: unknown[] = [];
  let pageToken: string | undefined;
  do {
    const page = { resourceNames: ['projects/p'], filter, pageSize: 2, ...(pageToken ? { pageToken } : {}) };
    const { data } = await client.entries.list({ requestBody: page });
    seen.push(...texts(data.entries ?? []));
    pageToken = data.nextPageToken ?? undefined;
  } while (pageToken);
  expect(seen).toEqual(['b', 'a', 'c']);
});

test('the same entry once more is one entry', async () => {
  const entry = { timestamp: '2026-01-02T03:04:05Z', insertId: 'same' };
  await write('twice', { ...entry, textPayload: 'first' });
  await write('twice', { ...entry, textPayload: 'second' });
  expect(texts(await list({ filter: 'log_id("twice")' }))).toEqual(['second']);
});

test('logs are listed and deleted by their encoded names', async () => {
  await write('run.googleapis.com%2Fstdout', { textPayload: 'x' });
  const names = async (): Promise<string[]> =>
    (await client.projects.logs.list({ parent: 'projects/p' })).data.logNames ?? [];
  expect(await names()).toContain('projects/p/logs/run.googleapis.com%2Fstdout');
  await client.projects.logs.delete({ logName: 'projects/p/logs/run.googleapis.com%2Fstdout' });
  expect(await names()).not.toContain('projects/p/logs/run.googleapis.com%2Fstdout');
});

test('entries survive a restart, and number on', async () => {
  await write('kept', { textPayload: 'before' });
  await running.stop();
  await start();
  await write('kept', { textPayload: 'after' });
  expect(texts(await list({ filter: 'log_id("kept")' }))).toEqual(['before', 'after']);
});

test('refused: no resource, no log, a bad filter, a page too large, a stranger', async () => {
  const write = (entry: object) => client.entries.write({ requestBody: { entries: [entry] } });
  await expect(write({ logName: 'projects/p/logs/a', textPayload: 'x' })).rejects.toThrow(/missing resource/);
  await expect(write({ resource, textPayload: 'x' })).rejects.toThrow(/log_name/);
  await expect(list({ filter: 'severity >=' })).rejects.toThrow(/Unparseable filter/);
  await expect(list({ filter: 'sample(insertId, 0.5)' })).rejects.toThrow(/not supported/);
  await expect(list({ pageSize: 1001 })).rejects.toThrow(/page_size/);
  await expect(list({ resourceNames: ['folders/1'] })).rejects.toThrow(/Only projects/);
  const token = running.cloud.tokens.access(
    { type: 'serviceAccount', email: 'a@p.iam.gserviceaccount.com' },
    60,
  );
  const stranger = client.entries.list(
    { requestBody: { resourceNames: ['projects/p'] } },
    { headers: { authorization: `Bearer ${token}` } },
  );
  await expect(stranger).rejects.toMatchObject({ status: 403 });
});

const ENTRY = {
  logName: 'projects/p/logs/run.googleapis.com%2Fstdout',
  severity: 'WARNING',
  timestamp: '2026-01-02T03:04:05.678Z',
  resource: { type: 'cloud_run_revision', labels: { service_name: 'shop' } },
  labels: { 'a/b': 'c' },
  jsonPayload: { message: 'Order placed', order: { id: 'o-17', items: [{ name: 'tea' }], total: 12.5 } },
  httpRequest: { status: 404, latency: '0.2s', responseSize: '2048' },
};

test.each([
  ['', true],
  ['resource.type=cloud_run_revision', true],
  ['resource.type="cloud_run_revision" resource.labels.service_name = "other"', false],
  ['resource.labels.service_name=("other" OR "shop")', true],
  ['severity>=WARNING', true],
  ['severity>=ERROR', false],
  ['severity>DEFAULT AND severity<=400', true],
  ['timestamp>="2026-01-02T00:00:00Z" timestamp<"2026-01-02T05:04:06+01:00"', true],
  ['timestamp>2026-01-02T03:04:06Z', false],
  ['labels."a/b"=c', true],
  ['jsonPayload.order.id=o-17', true],
  ['jsonPayload.order.total>12 jsonPayload.order.total<12.6', true],
  ['jsonPayload.order.items.name=tea', true],
  ['jsonPayload.message:"order"', true],
  ['jsonPayload.order:*', true],
  ['jsonPayload.nothing:*', false],
  ['jsonPayload.nothing!=x', true],
  ['NOT jsonPayload.nothing=x', true],
  ['jsonPayload.message=~"^Order .laced$"', true],
  ['jsonPayload.message!~"placed"', false],
  ['textPayload:"x"', false],
  ['httpRequest.status=404', true],
  ['httpRequest.responseSize>1000', true],
  ['"placed"', true],
  ['-"placed"', false],
  ['placed AND nonsense', false],
  ['nonsense OR placed nonsense OR shop', true],
  ['(nonsense AND placed) OR severity=WARNING -- a remark', true],
  ['logName="projects/p/logs/run.googleapis.com%2Fstdout"', true],
  ['log_id("run.googleapis.com/stdout")', true],
  ['log_id("run.googleapis.com/stderr")', false],
  [
    'resource.type = cloud_run_revision \n AND resource.labels.service_name = shop \n severity >= DEFAULT',
    true,
  ],
])('filter %s', (filter, matches) => {
  expect(parseFilter(filter)(ENTRY)).toBe(matches);
});
