import { expect, test } from 'vitest';
import { readTraceparent, traceparentOf } from './trace-context.ts';

const [trace, span] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'];

test.each([
  [`00-${trace}-${span}-01`, true],
  [`00-${trace}-${span}-00`, false],
  // Flags that nobody knows yet.
  [`00-${trace}-${span}-03`, true],
  [`01-${trace}-${span}-01`, true],
  [`cc-${trace}-${span}-01-what-comes-later`, true],
])('%s is read', (text, sampled) => {
  const context = readTraceparent(text);
  expect(context).toEqual({ traceId: trace, spanId: span, sampled });
  expect(context && traceparentOf(context)).toBe(`00-${trace}-${span}-${sampled ? '01' : '00'}`);
});

test.each([
  [''],
  ['junk'],
  [`ff-${trace}-${span}-01`],
  [`00-${'0'.repeat(32)}-${span}-01`],
  [`00-${trace}-${'0'.repeat(16)}-01`],
  [`00-${trace.toUpperCase()}-${span}-01`],
  [`00-${trace}-${span}-01-more`],
  [`00-${trace}-${span}`],
  // A header that came twice.
  [`00-${trace}-${span}-01, 00-${trace}-${span}-01`],
  [`01-${trace}-${span}-01-a, 00-${trace}-${span}-01`],
  [` 00-${trace}-${span}-01`],
  [`00-${trace}-${span}-01\n`],
])('%j is none', (text) => {
  expect(readTraceparent(text)).toBeUndefined();
});

test('nothing is none', () => expect(readTraceparent(undefined)).toBeUndefined());
