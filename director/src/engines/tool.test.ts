/** What any engine's tool is run with: followed, adopted, stopped, masked. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  adoptTool,
  type Following,
  isAlive,
  LONGEST_LINE,
  leastEnvironment,
  mask,
  runTool,
  shown,
  startOf,
} from './tool.ts';

let dir: string;
beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'tool-')));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const shell = (script: string) => ({
  binary: '/bin/sh',
  args: ['-c', script],
  cwd: dir,
  env: leastEnvironment(dir, {}),
  log: join(dir, 'log'),
  note: join(dir, 'note.json'),
});

function following(onLine: Following['onLine'], more: Partial<Following> = {}): Following {
  return { clock: systemClock, signal: new AbortController().signal, graceMs: 10_000, onLine, ...more };
}

test('every line of both streams is told, and how it ended', async () => {
  const lines: string[] = [];
  const end = await runTool(
    shell('echo one; echo two >&2; printf three; exit 4'),
    following((line, stream) => lines.push(`${stream} ${line}`)),
  );
  expect(end).toEqual({ code: 4, stopped: false });
  expect(lines.sort()).toEqual(['err two', 'out one', 'out three']);
});

test('it sees nothing of our environment', async () => {
  const lines: string[] = [];
  await runTool(
    shell('env'),
    following((line) => lines.push(line.split('=')[0] ?? '')),
  );
  expect(lines.filter((name) => !['PATH', 'HOME', 'PWD', 'SHLVL', '_', 'OLDPWD'].includes(name))).toEqual([]);
});

test('a program that is not there rejects', async () => {
  await expect(
    runTool(
      { ...shell(''), binary: join(dir, 'none') },
      following(() => {}),
    ),
  ).rejects.toMatchObject({ code: 'ENOENT' });
});

test('200 MB of output pass in constant memory, and long lines are cut', async () => {
  const script = `
    const chunk = Buffer.alloc(1 << 20, 'x'.repeat(99) + '\\n');
    const fs = require('node:fs');
    for (let i = 0; i < 200; i++) fs.writeSync(1, chunk);
    fs.writeSync(1, '\\n' + 'y'.repeat(5_000_000) + '\\nend');`;
  writeFileSync(join(dir, 'flood.cjs'), script);
  let [count, longest, last, peak] = [0, 0, '', 0];
  const before = process.memoryUsage.rss();
  const call = { ...shell(''), binary: process.execPath, args: [join(dir, 'flood.cjs')] };
  await runTool(
    call,
    following(
      (line) => {
        count++;
        longest = Math.max(longest, line.length);
        last = line;
      },
      {
        async meanwhile() {
          peak = Math.max(peak, process.memoryUsage.rss());
        },
      },
    ),
  );
  expect(count).toBeGreaterThan(2_000_000);
  expect(longest).toBe(LONGEST_LINE);
  expect(shown('z'.repeat(LONGEST_LINE)).length).toBeLessThan(10_100);
  expect(last).toBe('end');
  expect(peak - before).toBeLessThan(100 * 1024 * 1024);
});

test('an interrupt reaches the whole group; what does not heed it is killed', async () => {
  const cancel = new AbortController();
  const lines: string[] = [];
  const running = runTool(
    shell("trap '' INT; sleep 1000 & echo $!; while true; do sleep 1; done"),
    following((line) => lines.push(line), { signal: cancel.signal, graceMs: 200 }),
  );
  await expect.poll(() => lines.length).toBe(1);
  const child = Number(lines[0]);
  expect(await startOf(child)).toBeDefined();
  cancel.abort(new Error('cancelled'));
  expect(await running).toEqual({ code: null, killedBy: 'SIGKILL', stopped: true });
  await expect.poll(() => startOf(child)).toBeUndefined();
});

test('where what is asked meanwhile rejects, the tool is stopped and that is thrown', async () => {
  const lost = new Error('lost');
  const meanwhile = (): Promise<void> => Promise.reject(lost);
  await expect(
    runTool(
      shell('sleep 1000'),
      following(() => {}, { meanwhile }),
    ),
  ).rejects.toBe(lost);
});

test('what runs already is adopted, and heard from its first line', async () => {
  const starter = runTool(
    shell('echo first; while [ ! -e go ]; do sleep 0.1; done; echo last'),
    following(() => {}),
  );
  const note = join(dir, 'note.json');
  await expect.poll(() => existsSync(note)).toBe(true);
  const lines: string[] = [];
  const adopted = adoptTool(
    note,
    dir,
    following((line) => lines.push(line)),
  );
  await expect.poll(() => lines).toEqual(['first']);
  writeFileSync(join(dir, 'go'), '');
  expect(await adopted).toEqual({ code: undefined, stopped: false });
  expect(lines).toEqual(['first', 'last']);
  expect(await starter).toEqual({ code: 0, stopped: false });
  expect(
    await adoptTool(
      note,
      dir,
      following(() => {}),
    ),
  ).toBeUndefined();
});

test('a number that was given anew is another process', async () => {
  const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
  const pid = child.pid ?? 0;
  const started = (await startOf(pid)) ?? '';
  expect(await isAlive({ pid, started })).toBe(true);
  expect(await isAlive({ pid, started: `${started}0` })).toBe(false);
  child.kill('SIGKILL');
  await expect.poll(() => isAlive({ pid, started })).toBe(false);
});

test('secrets are masked wherever they stand, the longest first', () => {
  const { add, text, record } = mask();
  expect(text('plain')).toBe('plain');
  add({ a: ['secret-1', 'secret-1-longer', 'short', 'a "quoted" $(one)\nof two lines'], b: 12345678 });
  expect(text('secret-1-longer secret-1 short')).toBe('(sensitive) (sensitive) short');
  expect(text('x a "quoted" $(one) x of two lines')).toBe('x (sensitive) x (sensitive)');
  expect(text(String.raw`{"v":"a \"quoted\" $(one)\nof two lines"}`)).toBe('{"v":"(sensitive)"}');
  expect(record({ 'secret-1': [{ deep: 12345678, other: 1 }] })).toEqual({
    '(sensitive)': [{ deep: '(sensitive)', other: 1 }],
  });
});
