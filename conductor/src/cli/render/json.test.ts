import { expect, test } from 'vitest';
import type { ConductorEvent } from '../../event.ts';
import { testTerminal } from '../testing.ts';
import { rendererFor } from './render.ts';

test('every event is one object on one line of stdout, and nothing else is written', () => {
  const { terminal, stdout, stderr } = testTerminal({ json: true, columns: 20 });
  const renderer = rendererFor(terminal);
  const events: ConductorEvent[] = [
    { type: 'started', run: 'up-1', operation: 'up', architecture: 'shop', project: 'p' },
    { type: 'task-output', phase: 'build', task: 'image/api', line: 'two\nlines' },
    {
      type: 'task-finished',
      phase: 'build',
      task: 'image/api',
      result: 'failed',
      seconds: 1,
      because: 'a "quote"',
    },
    {
      type: 'director',
      id: '1',
      event: { type: 'unit-started', command: 'c', stack: 's/d', unit: 'topic/t', change: 'create' },
    },
    { type: 'failed', run: 'up-1', operation: 'up', seconds: 1, error: 'it broke', exitCode: 1 },
  ];
  for (const event of events) renderer.show(event);
  renderer.close();
  const lines = stdout.text().split('\n');
  expect(lines.pop()).toBe('');
  expect(lines.map((line) => JSON.parse(line))).toEqual(events);
  expect(stderr.text()).toBe('');
});
