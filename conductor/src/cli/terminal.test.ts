import { expect, test } from 'vitest';
import { type Output, openTerminal } from './terminal.ts';
import { testTerminal } from './testing.ts';

test('data goes to stdout, progress to stderr; data ends its line', () => {
  const { terminal, stdout, stderr } = testTerminal();
  terminal.data('a');
  terminal.data('b\n');
  terminal.progress('c');
  expect(stdout.text()).toBe('a\nb\n');
  expect(stderr.text()).toBe('c');
});

test.each([
  [{}, true, true],
  [{ NO_COLOR: '1' }, true, false],
  [{ NO_COLOR: '' }, true, true],
  [{ CI: 'true' }, false, true],
  [{ TERM: 'dumb' }, false, false],
])('on a screen with %j: live %s, colours %s', (env, isLive, hasColours) => {
  const { terminal } = testTerminal({ columns: 80, env });
  expect(terminal.isLive).toBe(isLive);
  expect(terminal.paint.red('x') !== 'x').toBe(hasColours);
  expect(terminal.dataPaint.red('x') !== 'x').toBe(hasColours);
});

test('with --json nothing is drawn over', () => {
  expect(testTerminal({ columns: 80, json: true }).terminal.isLive).toBe(false);
});

test('colours are of the stream that they go to', () => {
  const pipe: Output = { write: () => {} };
  const screen: Output = { ...pipe, isTTY: true, columns: 80, rows: 24 };
  const toFile = openTerminal({ stdout: pipe, stderr: screen, env: {}, json: false });
  expect(toFile.dataPaint.bold('x')).toBe('x');
  expect(toFile.paint.bold('x')).toBe('\u001b[1mx\u001b[0m');
  const logged = openTerminal({ stdout: screen, stderr: pipe, env: {}, json: false });
  expect(logged.isLive).toBe(false);
  expect(logged.paint.bold('x')).toBe('x');
  expect(logged.dataPaint.bold('x')).toBe('\u001b[1mx\u001b[0m');
});
