import { expect, test } from 'vitest';
import { parseFilter } from './filter.ts';

const BUILD = {
  id: 'b1',
  status: 'WORKING',
  tags: ['api', 'v1'],
  createTime: '2026-05-01T00:00:00Z',
  attempts: 12,
  labels: { env: 'prod-eu', team: 'a' },
  source: { storageSource: { bucket: 'src' } },
};

test.each([
  ['', true],
  ['status="WORKING"', true],
  ['status = working', true],
  ['status!=WORKING', false],
  ['tags=v1', true],
  ['tags=v2', false],
  ['tags="api" AND tags="v1"', true],
  ['tags=v2 OR (status=QUEUED OR status=WORKING)', true],
  ['status=WORKING tags=v2', false],
  ['NOT tags=v2', true],
  ['-tags=v1', false],
  ['create_time>"2026-04-30T00:00:00Z" create_time<"2026-05-02T00:00:00Z"', true],
  ['createTime>=2026-05-01T00:00:00Z', true],
  ['attempts>-1', true],
  ['attempts>9 AND attempts<=12', true],
  ['labels.env:prod', true],
  ['labels.env=prod', false],
  ['labels.env=prod-*', true],
  ['labels:team', true],
  ['labels.none:*', false],
  ['source.storage_source.bucket=src', true],
  ['build_id=b1', true],
])('%s', (filter, matches) => {
  expect(parseFilter(filter, { build_id: 'id' })(BUILD)).toBe(matches);
});

test.each(['status', 'status=', '=x', '(status=a', 'status=a)', 'OR status=a', 'NOT'])(
  '%s is refused',
  (filter) => {
    expect(() => parseFilter(filter)).toThrow('Invalid filter');
  },
);
