/** Where code may come from, and what is never taken for such a place. */
import { describe, expect, test } from 'vitest';
import { BundleSource, gitAddress, storageAddress } from './bundle-source.ts';

const digest = 'a'.repeat(64);

test.each<BundleSource>([
  { digest },
  { digest, path: 'modules/net' },
  { generator: '0f8fad5b-d9cb-469f-a165-70867728950e' },
  { generator: 'job:1.2_3' },
  { storage: 'gs://code/network.tar.gz' },
  { storage: 'gs://code/a b/c#d.zip#1712345678901234', path: '.' },
  { git: 'https://example.com/team/network.git' },
  { git: 'https://example.com:8443/~team/network', ref: 'v1.2.0+build', path: 'a@b/c' },
  { git: 'ssh://git@example.com:22/team/network.git', ref: 'feature/x' },
  { git: 'git@example.com:team/network.git', ref: digest.slice(0, 40) },
])('%j is taken', (source) => expect(BundleSource.parse(source)).toEqual(source));

test.each([
  {},
  { path: 'x' },
  { digest, generator: 'x' },
  { git: 'https://example.com/a', storage: 'gs://code/a' },
  { generator: 'x', ref: 'main' },
  { folder: './x' },
  'gs://code/a',
  null,
])('%j is no source, and it is said what one is', (source) => {
  expect(BundleSource.safeParse(source).error?.issues[0]?.message).toMatch(
    /exactly one of digest, generator, storage or git|[Uu]nrecognized/,
  );
});

describe('values that could mean something else to a tool', () => {
  test.each([
    ['digest', 'A'.repeat(64)],
    ['digest', '../../etc/passwd'],
    ['generator', '-x'],
    ['generator', '../secrets'],
    ['generator', 'a/b'],
    ['generator', 'a?b'],
    ['generator', 'a\nb'],
    ['generator', '$(id)'],
    ['generator', 'a'.repeat(201)],
    ['generator', ''],
    ['storage', 'https://storage.googleapis.com/code/a'],
    ['storage', 'gs://code'],
    ['storage', 'gs://code/'],
    ['storage', 'gs://Code/a'],
    ['storage', 'gs://code/-rf'],
    ['storage', 'gs://code/a\u0000b'],
    ['git', 'http://example.com/a'],
    ['git', 'file:///etc'],
    ['git', '/etc'],
    ['git', 'ext::sh -c id'],
    ['git', '--upload-pack=id'],
    ['git', '-u@example.com:a'],
    ['git', 'ssh://-oProxyCommand=id/a'],
    ['git', 'git@-oProxyCommand=id:a'],
    ['git', 'git@example.com:-a'],
    ['git', 'https://example.com/a b'],
    ['git', 'https://example.com/$(id)'],
    ['git', 'https://example.com/`id`'],
    ['git', 'https://example.com/a\n'],
    ['git', 'https://example.com:99999/a'],
  ])('%s %j', (name, value) => {
    const issue = BundleSource.safeParse({ [name]: value }).error?.issues[0];
    expect(issue).toMatchObject({ path: [name] });
    expect(issue?.message).toContain('is no');
  });

  test.each([
    '-x',
    '--upload-pack=id',
    'a..b',
    'a:b',
    '+a',
    'a b',
    'a\nb',
    '$(id)',
    'a@{1}',
    'a/',
    'a.lock',
    '',
  ])('ref %j', (ref) => {
    const issue = BundleSource.safeParse({ git: 'https://example.com/a', ref }).error?.issues[0];
    expect(issue?.message).toContain('is no branch, tag or commit');
  });

  test.each(['..', 'a/../..', '/etc', '-x', 'a/-x', 'a//b', 'a\\b', 'a b', '$(id)', ''])(
    'path %j',
    (path) => {
      const issue = BundleSource.safeParse({ digest, path }).error?.issues[0];
      expect(issue?.message).toContain('is no folder of a bundle');
    },
  );
});

test('a password in an address is refused, and not repeated', () => {
  for (const git of [
    'https://me:hunter2@example.com/a',
    'https://hunter2@example.com/a',
    'me:hunter2@example.com:a',
  ]) {
    const said = JSON.stringify(BundleSource.safeParse({ git }).error);
    expect(said).toContain('without a password');
    expect(said).not.toContain('hunter2');
  }
});

test('addresses are told in their parts', () => {
  expect(storageAddress('gs://code/a/b#c.tgz#12')).toEqual({
    bucket: 'code',
    object: 'a/b#c.tgz',
    generation: '12',
  });
  expect(gitAddress('https://example.com:8443/a')).toEqual({
    scheme: 'https',
    host: 'example.com',
    port: 8443,
  });
  expect(gitAddress('git@example.com:a')).toEqual({ scheme: 'ssh', host: 'example.com', port: undefined });
});
