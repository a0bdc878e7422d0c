import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isGone, thisHolder } from './holder.ts';
import type { Holder } from './records.ts';

const known: Holder = { ...thisHolder({ isOnCloudRun: false }), machine: 'here' };

/** Another process that is over, with the number that it had. */
async function goneProcess(): Promise<Holder> {
  const child = spawn(process.execPath, ['-e', '0']);
  await once(child, 'exit');
  return { ...known, id: 'gone', pid: child.pid ?? 0 };
}

test('a process of this machine is gone when it no longer runs, and not before', async () => {
  expect(isGone(await goneProcess(), known)).toBe(true);
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  const running = { ...known, id: 'running', pid: child.pid ?? 0 };
  expect(isGone(running, known)).toBe(false);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(isGone(running, known)).toBe(true);
});

test('of another machine, or of one that nobody knows, nothing is known, whatever its name', async () => {
  const gone = await goneProcess();
  const { machine: _, ...unknown } = gone;
  expect(isGone({ ...gone, machine: 'elsewhere' }, known)).toBe(false);
  expect(isGone({ ...gone, host: 'elsewhere' }, known)).toBe(false);
  expect(isGone(unknown, known)).toBe(false);
  const { machine: __, ...nowhere } = known;
  expect(isGone(gone, nowhere)).toBe(false);
  expect(isGone(unknown, nowhere)).toBe(false);
});

test('who had the number of this process is gone, and this process is not', () => {
  expect(isGone({ ...known, id: 'before' }, known)).toBe(true);
  expect(isGone({ ...known }, known)).toBe(false);
});

test('on Cloud Run no machine is known; elsewhere each start of a process is another holder on the same one', () => {
  expect(thisHolder({ isOnCloudRun: true }).machine).toBeUndefined();
  const [one, two] = [thisHolder({ isOnCloudRun: false }), thisHolder({ isOnCloudRun: false })];
  expect(one.id).not.toBe(two.id);
  expect(one.machine).toBe(two.machine);
  if (!existsSync('/proc/sys/kernel/random/boot_id'))
    process.stdout.write('This machine does not tell one start of its kernel from another.\n');
  else expect(one.machine).toMatch(/^[\da-f-]{36} pid:\[\d+\]$/);
});
