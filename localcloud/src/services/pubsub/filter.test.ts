import { expect, test } from 'vitest';
import { compileFilter } from './filter.ts';

const ATTRIBUTES = { kind: 'order', 'iana.org/lang': 'de', empty: '', 'x-y_1': 'v' };

test.each([
  ['', true],
  ['  ', true],
  ['attributes:kind', true],
  ['attributes:none', false],
  ['attributes:"iana.org/lang"', true],
  ['attributes:toString', false],
  ['attributes.kind = "order"', true],
  ['attributes.kind="order"', true],
  ['attributes.kind = "Order"', false],
  ['attributes.kind != "order"', false],
  ['attributes.none != "order"', true],
  ['attributes.x-y_1 = "v"', true],
  ['attributes."iana.org/lang" = "\\u0064\\x65"', true],
  ['attributes.empty = ""', true],
  ['hasPrefix(attributes.kind, "ord")', true],
  ['hasPrefix(attributes.none, "")', false],
  ['NOT attributes:none', true],
  ['-attributes:kind', false],
  ['NOT attributes:none AND attributes:kind', true],
  ['NOT (attributes:none AND attributes:kind)', true],
  ['attributes:none OR attributes:kind', true],
  ['attributes:none OR attributes:nothing OR attributes:kind', true],
  ['attributes:kind AND (attributes:none OR NOT hasPrefix(attributes.kind, "x"))', true],
  ['((attributes:kind))', true],
])('%s is %s', (text, matches) => {
  expect(compileFilter(text)(ATTRIBUTES)).toBe(matches);
});

test.each([
  'kind = "order"',
  'attributes',
  'attributes.kind',
  'attributes.kind = order',
  "attributes.kind = 'order'",
  'attributes.kind > "a"',
  'attributes:kind and attributes:none',
  'attributes:a AND attributes:b OR attributes:c',
  'attributes:a attributes:b',
  'hasSuffix(attributes.kind, "r")',
  'hasPrefix(attributes:kind, "o")',
  '(attributes:kind',
  'NOT',
  'attributes.kind = "a\\q"',
  `attributes.kind = "${'a'.repeat(256)}"`,
])('%s does not parse', (text) => {
  expect(() => compileFilter(text)).toThrow(/filter/);
});
