import type { PlanSummary } from '@service-director/shared/contract/event.ts';
import { expect, test } from 'vitest';
import { testTerminal } from '../testing.ts';
import { planLines } from './plan.ts';

function shown(...changes: PlanSummary['changes']): string[] {
  const plan: PlanSummary = {
    hash: 'a',
    changes,
    kept: [],
    refused: [],
    grants: [],
    unchanged: 0,
    seconds: 7,
    critical_path: [],
    warnings: [],
  };
  return planLines(plan, testTerminal().terminal.paint).slice(0, -1);
}

test('what a module would do is told by resource, under it', () => {
  const resources = [
    { address: 'a.made', action: 'create' },
    { address: 'a.changed', action: 'update', fields: ['input', 'output'] },
    { address: 'a.anew', action: 'replace', fields: ['id'], because: 'id cannot be changed in place' },
    { address: 'a.gone', action: 'delete', because: 'it is not described any more' },
    { address: 'a.left', action: 'forget' },
    { address: 'a.moved', action: 'move', because: 'it was a.before' },
  ];
  expect(shown({ unit: 'module/net', action: 'update', fields: ['a.changed'], resources })).toEqual([
    '~ module/net',
    '    + a.made',
    '    ~ a.changed  input, output',
    '    -/+ a.anew  id cannot be changed in place; id',
    '    - a.gone  it is not described any more',
    '    forget a.left',
    '    move a.moved  it was a.before',
  ]);
});

test('a module that cannot be planned yet says why, and one that only tells something else what', () => {
  const fields = ['variables.topic'];
  expect(shown({ unit: 'module/net', action: 'update', fields })).toEqual([
    '~ module/net  variables.topic',
    '    its resources are known once what its variables refer to is there',
  ]);
  expect(shown({ unit: 'module/net', action: 'create', resources: [], fields: ['output.id'] })).toEqual([
    '+ module/net',
    '    only its outputs change: output.id',
  ]);
  expect(shown({ unit: 'module/net', action: 'delete' })).toEqual(['- module/net']);
});

test('other units are told in one line', () => {
  expect(
    shown(
      { unit: 'topic/orders', action: 'update', fields: ['labels'] },
      { unit: 'grants/topic/orders', action: 'update', fields: ['a role'] },
      { unit: 'topic/old', action: 'replace', because: 'it differs' },
    ),
  ).toEqual(['~ topic/orders  labels', '~ grants/topic/orders', '± topic/old  it differs']);
});

test('how long it takes is told where it is known: of a module nobody knows', () => {
  const plan: PlanSummary = {
    hash: 'a',
    changes: [{ unit: 'module/net', action: 'delete' }],
    ...{ kept: [], refused: [], grants: [], warnings: [], unchanged: 0, seconds: 60 },
    critical_path: ['topic/a', 'service/b'],
  };
  const last = (critical_path: string[]) =>
    planLines({ ...plan, critical_path }, testTerminal().terminal.paint).at(-1);
  expect(last(['topic/a', 'service/b'])).toBe('about 1 min 0 s along topic/a → service/b');
  expect(last(['topic/a', 'module/net'])).toBe('longest path: topic/a → module/net');
  expect(last(['module/net'])).toBe('- module/net');
});
