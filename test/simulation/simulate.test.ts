/** The command line: what it prints, how it ends, and that a shorter story plays again. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const PATIENCE_MS = 5 * 60_000;
const AGAIN = /^Again: npm run simulate -- (.*)$/m;

test('seeds in which all holds', { timeout: PATIENCE_MS }, async () => {
  const { code, stdout } = await simulate('--seeds', '0..4', '--jobs', '1', '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ seeds: 4, runs: 8, violations: [] });
});

test('a seed that fails is made shorter, and plays again as it was', { timeout: PATIENCE_MS }, async () => {
  const { code, stdout } = await simulate('--seed', '2', '--mutant', 'ack-before-ledger', '--jobs', '1');
  const invariant = 'nothing is acknowledged that is not in the ledger';
  expect({ code, stdout }).toMatchObject({
    code: 1,
    stdout: expect.stringContaining(`seed 2: ${invariant}`),
  });
  const [, words = ''] = AGAIN.exec(stdout) ?? [];
  expect(words).toMatch(/^--seed 2 --commands 1 .*--mutant ack-before-ledger --trace$/);
  const again = await simulate(...words.split(' '), '--jobs', '1');
  expect(again.code).toBe(1);
  expect(
    again.stdout
      .trimEnd()
      .split('\n')
      .some((line) => line.includes(invariant)),
  ).toBe(true);
});

test.each([
  ['--seeds', '9..3'],
  ['--seeds', '1..2', '--trace'],
  ['--seed', '1', '--zoo'],
  ['--seed', '1', '--skip', '4-x'],
  ['--mutant', 'nobody'],
  ['--jobs', '0'],
])('%s %s … is no command line', async (...words) => {
  const { code, stdout, stderr } = await simulate(...words);
  expect({ code, stdout }).toEqual({ code: 64, stdout: '' });
  expect(stderr).toContain('Usage: npm run simulate');
});

function simulate(...words: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'simulate.ts'), ...words]);
  const heard = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].setEncoding('utf8').on('data', (text) => {
      heard[stream] += text;
    });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...heard }));
  });
}
