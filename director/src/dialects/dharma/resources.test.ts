import { unitId } from '@service-director/shared/model/unit.ts';
import { expect, test } from 'vitest';
import type { DeploymentRecord, JournalEntry } from '../../store/records.ts';
import { statusesOf } from './resources.ts';

function line(message: string, level: 'info' | 'error' = 'info'): JournalEntry {
  const unit = unitId('module', 'main');
  return { at: '2026-01-02T03:04:05Z', type: 'log', unit, level, message, resource: 'thing.a' };
}

/** What the tool says of `thing.a`, in its own words. */
function said(...messages: readonly string[]): JournalEntry[] {
  return messages.map((message) => line(`thing.a: ${message}`));
}

function wordAfter(
  entries: readonly JournalEntry[],
  status: DeploymentRecord['status'] = 'applying',
): unknown {
  return statusesOf(entries, { status }).get('thing.a');
}

test.for([
  [['Refreshing state... [id=1]'], undefined],
  [['Creating...'], 'creating'],
  [['Creating...', 'Still creating... [10s elapsed]'], 'creating'],
  [['Creating...', 'Creation complete after 1s [id=1]'], 'created'],
  [['Modifying... [id=1]'], 'updating'],
  [['Modifying... [id=1]', 'Modifications complete after 1s [id=1]'], 'updated'],
  [['Destroying... [id=1]'], 'deleting'],
  [['Destroying... [id=1]', 'Destruction complete after 1s'], 'deleted'],
  [['Destroying... [id=1]', 'Destruction complete after 1s', 'Creating...'], 'creating'],
  [['Creating...', 'Creation errored after 1s'], 'failed'],
] as const)('%j is %s (D140 to D146)', ([messages, word]) => {
  expect(wordAfter(said(...messages))).toBe(word);
});

test('an error about it is its end', () => {
  expect(wordAfter([...said('Creating...'), line('no permission', 'error')])).toBe('failed');
});

test('what a program prints is no word of the tool', () => {
  expect(wordAfter(said('Creating...', '(local-exec): Creation complete after 1s'))).toBe('creating');
  expect(wordAfter([line('Creation complete after 1s')])).toBeUndefined();
});

test('what was under way when it ended counts as the deployment does', () => {
  expect(wordAfter(said('Creating...'), 'succeeded')).toBe('created');
  expect(wordAfter(said('Modifying...'), 'failed')).toBe('failed');
  expect(wordAfter(said('Destroying...', 'Destruction complete after 1s'), 'cancelled')).toBe('deleted');
});
