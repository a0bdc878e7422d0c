import { expect, test } from 'vitest';
import type { ConductorEvent } from '../../event.ts';
import { testTerminal } from '../testing.ts';
import { rendererFor } from './render.ts';

/** What lands in the log of a CI, line by line. */
function shown(...events: ConductorEvent[]): string[] {
  const { terminal, stdout, stderr } = testTerminal();
  const renderer = rendererFor(terminal);
  for (const event of events) renderer.show(event);
  renderer.close();
  expect(stdout.text()).toBe('');
  return stderr.text().split('\n').slice(0, -1);
}

const task = { phase: 'identities', task: 'service-account/api' } as const;

test('a run from its beginning to its end', () => {
  expect(
    shown(
      { type: 'started', run: 'up-1', operation: 'up', architecture: 'shop', project: 'p' },
      { type: 'phase-started', phase: 'identities' },
      { type: 'task-started', ...task, what: 'create' },
      { type: 'task-finished', ...task, result: 'created', seconds: 2.04 },
      { type: 'phase-finished', phase: 'identities', status: 'done', seconds: 61 },
      { type: 'note', message: 'something to know' },
      {
        type: 'completed',
        run: 'up-1',
        operation: 'up',
        seconds: 3_725,
        changes: 3,
        summary: {
          created: 2,
          updated: 1,
          deleted: 0,
          unchanged: 9,
          kept: [{ unit: 'bucket/b', because: 'it is protected' }],
          urls: { api: 'http://api' },
        },
      },
    ),
  ).toEqual([
    'up shop in p',
    'identities:',
    '  service-account/api: created (2.0 s)',
    'identities done in 1 min 1 s',
    'something to know',
    '  api  http://api',
    '  kept bucket/b: it is protected',
    'done in 62 min 5 s: 2 created, 1 updated, 1 kept',
  ]);
});

test('a run that finds everything as it should be says so', () => {
  const summary = { created: 0, updated: 0, deleted: 0, unchanged: 9, kept: [], urls: {} };
  expect(shown({ type: 'completed', run: 'up-1', operation: 'up', seconds: 1, changes: 0, summary })).toEqual(
    ['done in 1.0 s: nothing to change'],
  );
});

test('what is as it was is not worth a line, unless it took long', () => {
  expect(
    shown(
      { type: 'task-finished', ...task, result: 'unchanged', seconds: 0.2 },
      { type: 'task-finished', ...task, result: 'reused', seconds: 0.9 },
      { type: 'task-finished', ...task, result: 'unchanged', seconds: 30 },
    ),
  ).toEqual(['  service-account/api: unchanged (30.0 s)']);
});

test('what is waited for is said once, and again when it is something else', () => {
  const because = 'the grants of api to take effect';
  expect(
    shown(
      { type: 'task-waiting', ...task, because },
      { type: 'task-waiting', ...task, because },
      { type: 'task-waiting', ...task, because: 'too many requests' },
    ),
  ).toEqual([
    '  service-account/api: waiting: the grants of api to take effect',
    '  service-account/api: waiting: too many requests',
  ]);
});

test('what the director does reads like what is done here, with why it failed', () => {
  const about = { command: 'c', stack: 'shop/orders', unit: 'topic/orders' };
  expect(
    shown(
      { type: 'phase-started', phase: 'setup' },
      { type: 'director', id: '1', event: { type: 'unit-started', ...about, change: 'create' } },
      { type: 'director', id: '2', event: { type: 'unit-waiting', ...about, because: 'its turn' } },
      {
        type: 'director',
        id: '3',
        event: {
          type: 'unit-finished',
          ...about,
          result: 'failed',
          seconds: 1,
          because: 'it is not ours',
        },
      },
      { type: 'phase-finished', phase: 'setup', status: 'failed', seconds: 1 },
    ),
  ).toEqual([
    'setup:',
    '  topic/orders: waiting: its turn',
    '  topic/orders: failed (1.0 s): it is not ours',
    'setup failed in 1.0 s',
  ]);
});

test('what Google refuses for a while is told as what is waited for', () => {
  const waits = (because: string): ConductorEvent => ({ type: 'task-waiting', ...task, because });
  expect(
    shown(
      waits(
        'Identity and Access Management (IAM) API has not been used in project 1 before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/iam.googleapis.com/overview?project=1 then retry.',
      ),
      waits('Cloud Pub/Sub API has not been used in project 1 before or it is disabled'),
      waits('Service account api@shop-project.iam.gserviceaccount.com does not exist.'),
      waits('the queue of Service account api@shop to be empty'),
    ),
  ).toEqual([
    '  service-account/api: waiting: iam.googleapis.com, which was just enabled, to take effect',
    '  service-account/api: waiting: an API, which was just enabled, to take effect',
    '  service-account/api: waiting: the new account api to be known everywhere',
    '  service-account/api: waiting: the queue of Service account api@shop to be empty',
  ]);
});

test('a failure is told in short where it happens; what its program wrote stands under it', () => {
  const about = { command: 'c', stack: 's/d', unit: 'service/api' } as const;
  const because = `Revision 'api-00001-abc' is not ready. ${'It did not listen. '.repeat(10)}\n\nLogs URL: http://x`;
  const line = { time: '', severity: 'ERROR', fields: {}, revision: 'api-00001-abc' };
  expect(
    shown(
      {
        type: 'director',
        id: '1',
        event: { type: 'unit-finished', ...about, result: 'failed', seconds: 1, because },
      },
      {
        type: 'task-finished',
        phase: 'deploy',
        task: 'deploy/d',
        result: 'failed',
        seconds: 2,
        because: `service/api: ${because}`,
      },
      {
        type: 'service-log',
        service: 'api',
        lines: [
          { ...line, message: 'no DATABASE_URL' },
          { ...line, message: '', fields: { code: 7 } },
        ],
      },
    ),
  ).toEqual([
    `  service/api: failed (1.0 s): ${because.slice(0, 100)}…`,
    '  deploy/d: failed (2.0 s)',
    '  the last lines of api:',
    '    no DATABASE_URL',
    '    {"code":7}',
  ]);
});

test('a diagnostic shows where it is and what to do', () => {
  const at = { file: 'a.yaml', line: 3, column: 5, length: 4, text: '    nmae: x' };
  expect(
    shown({
      type: 'diagnostic',
      diagnostic: { severity: 'warning', message: 'odd', fix: 'write "name"', at },
    }),
  ).toEqual(['a.yaml:3:5: warning: odd', '  3 |     nmae: x', '    |     ^^^^', '  fix: write "name"']);
});

test('there are no colours and no cursor in it', () => {
  const { terminal, stderr } = testTerminal();
  const renderer = rendererFor(terminal);
  renderer.show({ type: 'phase-started', phase: 'build' });
  renderer.show({ type: 'task-finished', phase: 'build', task: 'image/api', result: 'built', seconds: 4 });
  expect(stderr.text()).not.toContain('\u001b');
});
