import { expect, test } from 'vitest';
import { type ServerSentEvent, serverSentEvents } from './server-sent-events.ts';

async function read(text: string, size: number): Promise<ServerSentEvent[]> {
  const bytes = new TextEncoder().encode(text);
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let place = 0; place < bytes.length; place += size) yield bytes.subarray(place, place + size);
  }
  const events: ServerSentEvent[] = [];
  for await (const event of serverSentEvents(chunks())) events.push(event);
  return events;
}

const STREAM = [
  ':\n\n',
  'id: 1\nevent: status\ndata: {"a":"ä→"}\n\n',
  'data:first\ndata: second\n\n',
  'id: 2\r\nevent: end\r\ndata\r\n\r\n',
  'event: nothing\n\n',
  'retry: 10\nunknown\ndata: a: b\r\r',
  'data: cut off',
].join('');

test.each([1, 2, 3, 7, 1_000])('events are read whole, however they are cut: by %i bytes', async (size) => {
  expect(await read(STREAM, size)).toEqual([
    { id: '1', name: 'status', data: '{"a":"ä→"}' },
    { id: '1', name: 'message', data: 'first\nsecond' },
    { id: '2', name: 'end', data: '' },
    { id: '2', name: 'message', data: 'a: b' },
  ]);
});

test('an event that is not whole is none', async () => {
  expect(await read('data: x\n', 100)).toEqual([]);
  expect(await read('', 1)).toEqual([]);
});

test('wherever the bytes are cut, the events are the same, whichever way lines end', async () => {
  for (const end of ['\n', '\r\n', '\r']) {
    const text = ['id: 1', 'event: x', 'data: grüße', '', 'data: b', '', 'data: lost', ''].join(end);
    for (let size = 1; size <= text.length; size++)
      expect(await read(text, size), `${JSON.stringify(end)} ${size}`).toEqual([
        { id: '1', name: 'x', data: 'grüße' },
        { id: '1', name: 'message', data: 'b' },
      ]);
  }
});
