import { expect, test } from 'vitest';
import { readCondition } from './condition.ts';

const at = Date.parse('2026-06-01T00:00:00Z');
const holds = (expression: string, resource = 'projects/p/topics/orders'): boolean | undefined =>
  readCondition(expression)?.({ resource, at });

test.each([
  [`resource.name.startsWith("projects/p/topics/o")`, true],
  [`resource.name.startsWith('projects/q')`, false],
  [`resource.name == "projects/p/topics/orders"`, true],
  [`resource.name != "projects/p/topics/orders"`, false],
  [`resource.name.endsWith("orders") && request.time < timestamp("2027-01-01T00:00:00Z")`, true],
  [`request.time >= timestamp("2027-01-01T00:00:00Z") || resource.name.endsWith("orders")`, true],
  [`!(request.time > timestamp("2020-01-01T00:00:00Z"))`, false],
  [`(resource.name.endsWith("a") || resource.name.endsWith("b")) && resource.name.startsWith("p")`, false],
])('%s is %s', (expression, expected) => {
  expect(holds(expression)).toBe(expected);
});

test('a bucket is named as conditions name it', () => {
  expect(
    holds(`resource.name.startsWith("projects/_/buckets/b/objects/in/")`, 'buckets/b/objects/in/x'),
  ).toBe(true);
});

test.each([
  'resource.matchTag("1/env", "prod")',
  'request.time < timestamp("soon")',
  'resource.name.startsWith("p") &&',
  '(resource.name.startsWith("p")',
  'resource.name.startsWith("p") extra',
  'resource.name == "p" # comment',
  '',
])('not understood, so it never grants: %s', (expression) => {
  expect(readCondition(expression)).toBeUndefined();
});
