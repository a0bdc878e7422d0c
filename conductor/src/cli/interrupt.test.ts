import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { onInterrupt } from './interrupt.ts';
import { manualClock } from './testing.ts';

function stage() {
  const clock = manualClock();
  const exits: number[] = [];
  const signals = Object.assign(new EventEmitter(), { exit: (code: number) => exits.push(code) });
  let acted = 0;
  const stop = onInterrupt(() => acted++, { signals, clock });
  return { clock, signals, exits, acted: () => acted, stop };
}

test('one key press that arrives several times is one', () => {
  const { clock, signals, exits, acted } = stage();
  signals.emit('SIGINT');
  signals.emit('SIGINT');
  clock.pass(900);
  signals.emit('SIGTERM');
  expect([acted(), exits]).toEqual([1, []]);
});

test('another one, later, ends at once', () => {
  const { clock, signals, exits, acted } = stage();
  signals.emit('SIGINT');
  clock.pass(1_001);
  signals.emit('SIGINT');
  expect([acted(), exits]).toEqual([1, [130]]);
});

test('once stopped, nothing is listened to', () => {
  const { signals, acted, stop } = stage();
  stop();
  expect([signals.listenerCount('SIGINT'), signals.listenerCount('SIGTERM'), acted()]).toEqual([0, 0, 0]);
});

test('an echo that comes when all is over does not end the process by itself', () => {
  const signals = Object.assign(new EventEmitter(), { exit: () => {} });
  const clock = manualClock();
  const stop = onInterrupt(() => {}, { signals, clock });
  signals.emit('SIGINT');
  stop();
  // Without a listener a signal ends the process with no code of its own.
  expect(signals.listenerCount('SIGINT')).toBe(1);
  const [quiet, other] = [new EventEmitter(), { exit: () => {} }];
  onInterrupt(() => {}, { signals: Object.assign(quiet, other), clock })();
  expect(quiet.listenerCount('SIGINT')).toBe(0);
});
