import { expect, test } from 'vitest';
import { keys } from './records.ts';

test('the more urgent goes first, of the same the older, and who has waited long before both (N36)', () => {
  const at = (time: string) => `2026-11-01T${time}:00.000Z`;
  const place = (id: string, priority: 'high' | 'normal' | 'low' | undefined, time: string) => {
    const urgency = priority === undefined ? {} : { priority };
    return [id, keys.queue({ stack: 'shop/orders', id, createdAt: at(time), ...urgency }).id] as const;
  };
  const queue = [
    place('low', 'low', '10:00'),
    place('normal', undefined, '10:02'),
    place('later', 'normal', '10:03'),
    place('high', 'high', '10:04'),
    place('much later', 'high', '10:31'),
  ];
  const order = queue.toSorted(([, a], [, b]) => (a < b ? -1 : 1)).map(([id]) => id);
  expect(order).toEqual(['high', 'normal', 'later', 'low', 'much later']);
});
