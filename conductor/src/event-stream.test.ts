import { expect, test } from 'vitest';
import { eventsIn, type StreamEvent } from './event-stream.ts';

async function read(...parts: string[]): Promise<StreamEvent[]> {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (const part of parts) yield Buffer.from(part, 'latin1');
  }
  const events: StreamEvent[] = [];
  for await (const event of eventsIn(chunks())) events.push(event);
  return events;
}

/** As bytes, so that a part may end within a character. */
const utf8 = (text: string): string => Buffer.from(text).toString('latin1');

test('an event has its id, its name and its data; a sign of life is none', async () => {
  expect(await read(':\n\nid: 7\nevent: finish\ndata: {"a":1}\n\n:\n\n')).toEqual([
    { id: '7', name: 'finish', data: '{"a":1}' },
  ]);
  expect(await read('data: a\ndata:b\n\ndata\n\n')).toEqual([
    { id: '', name: 'message', data: 'a\nb' },
    { id: '', name: 'message', data: '' },
  ]);
});

test('wherever the bytes are cut, the events are the same; one that is not whole is none', async () => {
  for (const end of ['\n', '\r\n', '\r']) {
    const text = utf8(['id: 1', 'event: x', 'data: grüße', '', 'data: b', '', 'data: lost', ''].join(end));
    const whole = [
      { id: '1', name: 'x', data: 'grüße' },
      { id: '1', name: 'message', data: 'b' },
    ];
    for (let at = 0; at <= text.length; at++)
      expect(await read(text.slice(0, at), text.slice(at)), `${JSON.stringify(end)} ${at}`).toEqual(whole);
  }
});
