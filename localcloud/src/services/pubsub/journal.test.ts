import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openStore, type Store } from '../../store.ts';
import { type Journal, openJournal } from './journal.ts';
import { type Message, newMessage } from './message.ts';
import { type ManualClock, manualClock } from './testing.ts';

let dir: string;
let store: Store;
let clock: ManualClock;
let journal: Journal;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'journal-'));
  store = openStore(dir);
  clock = manualClock();
  journal = openJournal(store, clock);
});
afterEach(() => {
  store.close();
  rmSync(dir, { recursive: true });
});

const rows = (): number => store.table('pubsub.messages').size;

/** A message that its topic retains, so that something holds it. */
function held(number: number): Message {
  const message = newMessage(number, 'projects/p/topics/t', clock.now(), {
    data: Buffer.from([0, 255]),
    attributes: { k: 'v' },
    orderingKey: 'o',
  });
  message.retained = true;
  journal.changed(message);
  return message;
}

function letGo(message: Message): void {
  message.retained = false;
  journal.changed(message);
}

test('a message that nobody holds any more after half a second never reaches the disk', () => {
  const message = held(1);
  clock.pass(499);
  letGo(message);
  clock.pass(10_000);
  held(2);
  clock.pass(400);
  expect(rows()).toBe(0);
});

test('a message that is held is written, and removed once it is let go', () => {
  const message = held(1);
  clock.pass(1_100);
  expect(rows()).toBe(1);
  letGo(message);
  clock.pass(1_100);
  expect(rows()).toBe(0);
});

test('many are written in slices', () => {
  for (let number = 1; number <= 450; number++) held(number);
  clock.pass(1_000);
  expect(rows()).toBe(450);
});

test('what is open at the end is written, and found again in order', () => {
  held(20);
  held(3);
  journal.close();
  store.close();
  store = openStore(dir);
  const loaded = openJournal(store, clock).load();
  expect(loaded.map(({ message }) => message.number)).toEqual([3, 20]);
  expect(loaded[0]?.message.body).toMatchObject({
    data: Buffer.from([0, 255]),
    attributes: { k: 'v' },
    messageId: '3',
    orderingKey: 'o',
  });
  expect(loaded[0]?.row.retained).toBe(true);
});
