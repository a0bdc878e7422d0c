/** What a director tells of its deployments and stacks when it is asked: it only reads. */
import { get } from 'node:http';
import { DatabaseSync } from 'node:sqlite';
import {
  AuditTrail,
  DeploymentDetail,
  DeploymentPage,
  History,
  StackState,
} from '@service-director/shared/contract/state.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector, stateFile } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { openWorld, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let world: World;
let director: DirectorProcess;

beforeAll(async () => {
  world = await openWorld();
  director = await startDirector(world);
  await director.ready();
});
afterAll(() => world.stop());

const topics = (...names: string[]): object => ({ resources: { topics: names.map((name) => ({ name })) } });

/** Sets the dataflow `flow` of an architecture up, and waits for the end of it. */
async function setUp(name: string, id: string, flow: object, more: object = {}): Promise<void> {
  const document = documentOf(name, { flow: ephemeral(flow) });
  await world.send('dataflow-setup', id, { architecture: { document }, ...more });
  expect(await world.recorder.answerTo(id)).toMatchObject({ type: 'completed' });
}

async function page(query: string): Promise<ReturnType<typeof DeploymentPage.parse>> {
  const { status, body } = await director.get(`/deployments?${query}`);
  expect(status).toBe(200);
  return DeploymentPage.parse(body);
}

/** A path as it is, which `fetch` would tidy up first. */
function raw(path: string): Promise<{ status: number; body: { detail: string; fix?: string } }> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(director.url);
    get({ hostname, port, path }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
    }).on('error', reject);
  });
}

const isProblem = (status: number, detail: RegExp, fix?: RegExp): object => ({
  status,
  type: expect.stringContaining('application/problem+json'),
  body: {
    status,
    detail: expect.stringMatching(detail),
    ...(fix ? { fix: expect.stringMatching(fix) } : {}),
  },
});

describe('deployments', () => {
  beforeAll(async () => {
    // By their ids they would come in another order.
    for (const id of ['list.c', 'list.a', 'list.b']) await setUp('listed', id, topics('listed-topic'));
    await setUp('other', 'list.d', topics('other-topic'));
    const document = documentOf('listed', { flow: ephemeral(topics('listed-topic')) });
    await world.send('teardown', 'list.e', { architecture: { document }, dataflow: 'flow', dry_run: true });
    await world.recorder.answerTo('list.e');
  });

  test('come newest first, in the order in which they were made', async () => {
    const { deployments, next } = await page('');
    expect(deployments.map(({ id }) => id)).toEqual(
      ['list.e', 'list.d', 'list.b', 'list.a', 'list.c'].map((id) => `${id}.flow`),
    );
    expect(next).toBeUndefined();
    expect(deployments[0]).toMatchObject({
      command: 'list.e',
      stack: 'listed/flow',
      operation: 'teardown',
      status: 'succeeded',
      dry_run: true,
      priority: 'normal',
    });
    expect(deployments[4]).toMatchObject({ version: 1, ended_at: expect.stringMatching(/Z$/) });
    expect(deployments[4]?.requester).not.toBe('unknown');
  });

  test('page by page they are all there, each once', async () => {
    const ids: string[] = [];
    let after: string | undefined;
    do {
      const more: string = after === undefined ? '' : `&after=${encodeURIComponent(after)}`;
      const found = await page(`limit=2${more}`);
      expect(found.deployments.length).toBeLessThanOrEqual(2);
      ids.push(...found.deployments.map(({ id }) => id));
      after = found.next;
    } while (after !== undefined);
    expect(ids).toEqual((await page('')).deployments.map(({ id }) => id));
  });

  test('of one stack, in one status, or both', async () => {
    const names = async (query: string): Promise<string[]> =>
      (await page(query)).deployments.map(({ command }) => command);
    expect(await names('stack=other%2Fflow')).toEqual(['list.d']);
    expect(await names('stack=nobody/flow')).toEqual([]);
    expect(await names('status=failed')).toEqual([]);
    expect(await names('status=succeeded&limit=1')).toEqual(['list.e']);
    expect(await names('stack=listed/flow&status=succeeded&limit=2')).toEqual(['list.e', 'list.b']);
  });

  test('what cannot be meant is refused, with what can', async () => {
    expect(await director.get('/deployments?status=done')).toMatchObject(
      isProblem(400, /no status done/, /known are: queued, .*succeeded/),
    );
    for (const limit of ['0', '501', 'ten', '1e2', '-1'])
      expect(await director.get(`/deployments?limit=${limit}`)).toMatchObject(
        isProblem(400, new RegExp(`limit is ${limit}`), /from 1 to 500/),
      );
    expect(await director.get('/deployments?after=list.a')).toMatchObject(
      isProblem(400, /after is list\.a/, /"next"/),
    );
  });

  test('one is told in full: plan, units, journal', async () => {
    const { body } = await director.get('/deployments/list.c.flow');
    const detail = DeploymentDetail.parse(body);
    expect(detail).toMatchObject({
      id: 'list.c.flow',
      status: 'succeeded',
      version: 1,
      report: {
        plan: { hash: expect.any(String), changes: [{ unit: 'topic/listed-topic', action: 'create' }] },
        units: [{ unit: 'topic/listed-topic', result: 'created' }],
      },
    });
    const kinds = detail.events.map(({ type, status, unit }) => [type, status ?? unit]);
    expect(kinds).toEqual([
      ['status', 'planning'],
      ['status', 'applying'],
      ['intend', 'topic/listed-topic'],
      ['finish', 'topic/listed-topic'],
      ['status', 'succeeded'],
    ]);
    expect(JSON.stringify(detail.events)).not.toContain('"after"');
  });

  test('one that is not there is a problem, whatever it is called', async () => {
    expect(await director.get('/deployments/list.c')).toMatchObject(
      isProblem(404, /no deployment list\.c$/, /known are its deployments: list\.c\.flow/),
    );
    const names = [
      'nobody',
      '..',
      '.',
      'a/b',
      '../../etc/passwd',
      'list.c.flow/',
      'ü'.repeat(2_000),
      '%',
      ' ',
    ];
    for (const name of names) {
      const answer = await raw(`/deployments/${encodeURIComponent(name).replaceAll('.', '%2e')}`);
      expect(answer, name).toMatchObject({
        status: 404,
        body: {
          detail: `There is no deployment ${name}`,
          fix: expect.stringContaining('conductor deployments'),
        },
      });
    }
    expect((await raw('/deployments/../deployments/list.c.flow')).status).toBe(404);
    expect(await raw('/deployments/%E0%A4%A')).toMatchObject({ status: 400 });
  });

  test('the plan can be read before it is applied, and the lock says who is at what', async () => {
    const { faults } = world.running.cloud;
    faults.replace([{ method: 'CreateTopic', error: 'UNAVAILABLE', message: 'not now' }]);
    const document = documentOf('slow', { flow: ephemeral(topics('slow-topic')) });
    await world.send('dataflow-setup', 'slow.1', { architecture: { document }, reason: 'to see it' });
    await world.send('dataflow-setup', 'slow.2', { architecture: { document } });
    await until(async () => {
      const { body } = await director.get('/deployments/slow.1.flow');
      expect(body).toMatchObject({
        status: 'applying',
        reason: 'to see it',
        report: { plan: { changes: [{ unit: 'topic/slow-topic', action: 'create' }] }, units: [] },
      });
      expect(body.events).toContainEqual(expect.objectContaining({ type: 'waiting', because: 'not now' }));
    });
    const state = StackState.parse((await director.get('/stacks/slow/flow')).body);
    expect(state).toMatchObject({
      version: 0,
      locked: true,
      lock: {
        id: 'slow.1.flow',
        held_by: 'deployment',
        operation: 'dataflow-setup',
        step: 'applying: topic/slow-topic',
        heartbeat_at: expect.stringMatching(/Z$/),
        reason: 'to see it',
      },
      units: [],
    });
    const { stacks } = (await director.get('/stacks')).body;
    expect(stacks).toContainEqual(
      expect.objectContaining({
        stack: 'slow/flow',
        locked: true,
        lock: expect.objectContaining({ id: 'slow.1.flow' }),
        lease: { deployment: 'slow.1.flow', heartbeat_at: expect.any(String) },
      }),
    );
    await until(async () =>
      expect((await director.get('/deployments/slow.2.flow')).body).toMatchObject({
        position: 1,
        waiting_for: 'the deployment slow.1.flow',
      }),
    );
    expect((await director.get('/stacks/slow/flow')).body.queue).toEqual(['slow.2.flow']);
    faults.replace([]);
    await world.recorder.answerTo('slow.2');
    expect((await director.get('/stacks/slow/flow')).body).toMatchObject({
      locked: false,
      queue: [],
      version: 1,
    });
  });
});

describe('stacks', () => {
  beforeAll(async () => {
    await setUp('kept', 'kept.1', topics('kept-a', 'kept-b'), { reason: 'the beginning' });
    await setUp('kept', 'kept.2', topics('kept-b', 'kept-c'));
    await setUp('kept', 'kept.same', topics('kept-b', 'kept-c'));
    const labelled = {
      resources: { topics: [{ name: 'kept-b', labels: { team: 'x' } }, { name: 'kept-c' }] },
    };
    await setUp('kept', 'kept.3', labelled);
  });

  test('the state of one: version, serial, lineage, units with what they are made from', async () => {
    const state = StackState.parse((await director.get('/stacks/kept/flow')).body);
    expect(state).toMatchObject({
      stack: 'kept/flow',
      scope: 'kept',
      dataflow: 'flow',
      version: 3,
      locked: false,
    });
    expect(state.lineage).not.toBe('');
    expect(state.serial).toBeGreaterThanOrEqual(state.version);
    expect(state.units.map(({ id }) => id)).toEqual(['topic/kept-b', 'topic/kept-c']);
    expect(state.units[0]).toMatchObject({ kind: 'topic', engine: 'gcp', spec: { name: 'kept-b' } });
  });

  test('the history of one, newest first, with what each version changed', async () => {
    const { body } = await director.get('/stacks/kept/flow/history');
    const { versions } = History.parse(body);
    expect(versions).toMatchObject([
      { version: 3, current: true, restorable: false, changed: ['topic/kept-b'], added: [], removed: [] },
      { version: 2, current: false, restorable: true, added: ['topic/kept-c'], removed: ['topic/kept-a'] },
      {
        version: 1,
        restorable: true,
        deployment: 'kept.1.flow',
        operation: 'dataflow-setup',
        reason: 'the beginning',
        added: ['topic/kept-a', 'topic/kept-b'],
      },
    ]);
    const newest = await director.get('/stacks/kept/flow/history?limit=1');
    expect(newest.body.versions).toMatchObject([{ version: 3 }]);
    expect(await director.get('/stacks/kept/flow/history?limit=0')).toMatchObject(
      isProblem(400, /limit is 0/),
    );
  });

  test('the audit trail of one says who asked and what came of it, and is whole', async () => {
    const trail = AuditTrail.parse((await director.get('/stacks/kept/flow/audit')).body);
    expect(trail).toMatchObject({ stack: 'kept/flow', intact: true });
    expect(trail.entries.map(({ sequence }) => sequence)).toEqual(trail.entries.map((_, at) => at + 1));
    expect(trail.entries.slice(0, 2)).toMatchObject([
      { what: 'asked', command: 'kept.1', reason: 'the beginning' },
      { what: 'changed', command: 'kept.1', deployment: 'kept.1.flow' },
    ]);
    const newest = (await director.get('/stacks/kept/flow/audit?limit=2')).body;
    expect(newest).toMatchObject({ intact: true, entries: trail.entries.slice(-2) });
  });

  test('a row that is taken out of the audit trail shows, as does one taken off its end', async () => {
    await setUp('robbed', 'robbed.1', topics('robbed-a'));
    await setUp('robbed', 'robbed.2', topics('robbed-a', 'robbed-b'));
    const audit = async () => AuditTrail.parse((await director.get('/stacks/robbed/flow/audit')).body);
    const { intact, entries } = await audit();
    expect(intact).toBe(true);
    const database = new DatabaseSync(stateFile(world), { timeout: 60_000 });
    const rowOf = (sequence: number): string => `robbed/flow/${String(sequence).padStart(8, '0')}`;
    const take = database.prepare("DELETE FROM documents WHERE collection = 'audit' AND id = ?");
    expect(take.run(rowOf(entries.length)).changes).toBe(1);
    expect(await audit()).toMatchObject({ intact: false, broken_at: entries.length });
    expect(take.run(rowOf(2)).changes).toBe(1);
    expect(await audit()).toMatchObject({ intact: false, broken_at: 2 });
    database.close();
  });

  test('one that is not there is a problem, whatever it is called', async () => {
    for (const path of ['', '/history', '/audit'])
      expect(await director.get(`/stacks/kept/flaw${path}`)).toMatchObject(
        isProblem(404, /no stack kept\/flaw$/, /known are: .*kept\/flow/),
      );
    const strange = [
      ['..', 'commands'],
      ['kept/flow', 'history'],
      ['kept', 'flow/'],
      ['kept/', 'flow'],
      ['', 'kept/flow'],
      ['%2F', '..'],
      ['x'.repeat(5_000), 'flow'],
    ] as const;
    for (const names of strange) {
      const [scope, dataflow] = names.map((name) => encodeURIComponent(name).replaceAll('.', '%2e'));
      const answer = await raw(`/stacks/${scope}/${dataflow}`);
      expect(answer.status, names.join(' ')).toBe(404);
    }
    expect((await raw('/stacks/../stacks/kept/flow')).status).toBe(404);
  });
});

test('being read changes nothing in the cloud', async () => {
  const since = world.now();
  for (const path of ['/deployments', '/stacks', '/stacks/kept/flow', '/stacks/kept/flow/history'])
    expect((await director.get(path)).status).toBe(200);
  expect(world.changes(since)).toEqual([]);
});
