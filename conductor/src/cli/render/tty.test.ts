import { expect, test } from 'vitest';
import type { ConductorEvent } from '../../event.ts';
import { manualClock, type Recorder, type TestTerminalOptions, testTerminal } from '../testing.ts';
import { renderTty } from './tty.ts';

function live(options: TestTerminalOptions = { columns: 80 }) {
  const { terminal, stdout, stderr } = testTerminal({ env: { NO_COLOR: '1' }, ...options });
  const clock = manualClock();
  const renderer = renderTty(terminal, clock);
  return { clock, stdout, screen: stderr, ...renderer };
}

/** The last line is where the cursor stands. */
function visible(screen: Recorder): string[] {
  expect(screen.lines().at(-1)).toBe('');
  return screen.lines().slice(0, -1);
}

const waiting = (task: string, because: string): ConductorEvent => ({
  type: 'task-waiting',
  phase: 'setup',
  task,
  because,
});
const started = (task: string, phase: 'build' | 'setup' = 'setup'): ConductorEvent => ({
  type: 'task-started',
  phase,
  task,
  what: 'create',
});
const finished = (task: string): ConductorEvent => ({
  type: 'task-finished',
  phase: 'setup',
  task,
  result: 'created',
  seconds: 2,
});

test('what runs and what waits is drawn, with why and for how long', () => {
  const { show, screen, clock } = live();
  show({ type: 'started', run: 'up-1', operation: 'up', architecture: 'shop', project: 'p' });
  show({ type: 'phase-started', phase: 'setup' });
  clock.pass(1_000);
  show(started('topic/orders'));
  show(waiting('grants/topic/orders', 'the grants\nof api'));
  clock.pass(2_000);
  expect(visible(screen)).toEqual([
    'up shop in p',
    expect.stringMatching(/^. setup 3\.0 s$/),
    expect.stringMatching(/^ {2}. topic\/orders 2\.0 s create$/),
    '  … grants/topic/orders 2.0 s waiting: the grants of api',
  ]);
  show(waiting('grants/topic/orders', 'its turn'));
  clock.pass(500);
  expect(visible(screen).at(-1)).toBe('  … grants/topic/orders 2.5 s waiting: its turn');
});

test('what is begun and needs no change is looked at', () => {
  const { show, screen, clock } = live();
  show({ type: 'phase-started', phase: 'setup' });
  show({ type: 'task-started', phase: 'setup', task: 'topic/orders', what: 'none' });
  clock.pass(200);
  expect(visible(screen).at(-1)).toMatch(/^ {2}. topic\/orders 0\.2 s look$/);
});

test('a screen that does not know its size is drawn on all the same', () => {
  const { show, close, screen, clock } = live({ columns: 0, rows: 0 });
  show({ type: 'phase-started', phase: 'setup' });
  show(started('topic/orders'));
  clock.pass(200);
  close();
  expect(screen.text()).toContain('topic/orders 0.2 s create');
  expect(screen.text()).not.toMatch(/Infinity|NaN/);
});

test('what is over stays above, what was going on is gone at the end', () => {
  const { show, close, screen, clock, stdout } = live();
  show({ type: 'phase-started', phase: 'build' });
  show({ type: 'phase-started', phase: 'setup' });
  show(started('image/api', 'build'));
  show(started('topic/orders'));
  show(started('topic/audit'));
  clock.pass(2_000);
  show(finished('topic/orders'));
  show({ ...finished('topic/audit'), result: 'unchanged' } as ConductorEvent);
  clock.pass(300);
  show({ type: 'phase-finished', phase: 'setup', status: 'done', seconds: 2.3 });
  show({ type: 'phase-finished', phase: 'build', status: 'failed', seconds: 2.3, because: 'no disk' });
  clock.pass(1_000);
  close();
  expect(visible(screen)).toEqual(['  ✓ topic/orders created 2.0 s', '✓ setup 2.3 s', '✗ build 2.3 s']);
  expect(stdout.text()).toBe('');
});

test('after the end nothing is drawn any more', () => {
  const { show, close, screen, clock } = live();
  show({ type: 'phase-started', phase: 'setup' });
  show(started('topic/orders'));
  clock.pass(500);
  close();
  const text = screen.text();
  clock.pass(5_000);
  close();
  expect(screen.text()).toBe(text);
  expect(visible(screen)).toEqual([]);
});

test.each([[10], [20], [33], [80], [200]])('on %i columns no line of the picture is wider', (columns) => {
  const { show, close, screen, clock } = live({ columns, env: {} });
  show({ type: 'phase-started', phase: 'setup' });
  show({ type: 'phase-started', phase: 'build' });
  show(started('topic/a-topic-with-quite-a-long-name-that-nobody-would-ever-want-to-type'));
  show(waiting('grants/bucket/b', 'w'.repeat(300)));
  show(waiting('grants/topic/t', '\u001b[31mred\u001b[0m\tand\r\nmore'));
  clock.pass(300);
  const lines = visible(screen);
  expect(lines).toHaveLength(5);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(columns);
  if (columns < 80) expect(lines.filter((line) => line.endsWith('…'))).not.toHaveLength(0);
  close();
  expect(visible(screen)).toEqual([]);
});

test('more than fits on the screen is counted, and leaves nothing behind', () => {
  const { show, close, screen, clock } = live({ columns: 80, rows: 12 });
  for (const phase of ['build', 'setup'] as const) {
    show({ type: 'phase-started', phase });
    for (let at = 0; at < 40; at++) show(started(`topic/t${at}`, phase));
  }
  clock.pass(5_000);
  expect(visible(screen)).toHaveLength(11);
  expect(visible(screen).at(-1)).toMatch(/^ {2}and \d+ more$/);
  for (let at = 0; at < 40; at++) show(finished(`topic/t${at}`));
  clock.pass(1_000);
  close();
  expect(visible(screen)).toEqual(Array.from({ length: 40 }, (_, at) => `  ✓ topic/t${at} created 2.0 s`));
});

test('of one phase so many are shown, the others counted', () => {
  const { show, screen, clock } = live({ columns: 80, rows: 60 });
  show({ type: 'phase-started', phase: 'setup' });
  for (let at = 0; at < 20; at++) show(started(`topic/t${at}`));
  clock.pass(100);
  expect(visible(screen)).toHaveLength(18);
  expect(visible(screen).at(-1)).toBe('  and 4 more');
});

test('a window that becomes narrower leaves nothing behind', () => {
  const { show, close, screen, clock } = live({ columns: 80 });
  show({ type: 'phase-started', phase: 'setup' });
  show(waiting('grants/bucket/b', 'w'.repeat(300)));
  clock.pass(300);
  screen.resize(30);
  clock.pass(300);
  expect(visible(screen)).toHaveLength(2);
  close();
  expect(visible(screen)).toEqual([]);
});

test('what the director does shows under the phase that asked it', () => {
  const { show, screen, clock } = live();
  const about = { command: 'c', stack: 'shop/orders', unit: 'topic/orders' };
  show({ type: 'phase-started', phase: 'build' });
  show({ type: 'phase-started', phase: 'setup' });
  show({ type: 'director', id: '1', event: { type: 'unit-started', ...about, change: 'create' } });
  clock.pass(100);
  expect(visible(screen)).toEqual([
    expect.stringContaining('build'),
    expect.stringContaining('setup'),
    expect.stringContaining('topic/orders'),
  ]);
  show({
    type: 'director',
    id: '2',
    event: { type: 'unit-finished', ...about, result: 'failed', seconds: 1, because: 'denied' },
  });
  expect(visible(screen)[0]).toBe('  ✗ topic/orders failed 1.0 s denied');
});

test('NO_COLOR leaves the cursor, and no colour', () => {
  const { show, screen, clock } = live();
  show({ type: 'phase-started', phase: 'setup' });
  show(finished('topic/orders'));
  clock.pass(500);
  expect(screen.text()).toContain('\u001b[1A');
  expect(screen.text()).not.toMatch(/\[\d+m/);
});
