/** Code that is described: what is taken, what it comes to, and what never gets into it. */
import { describe, expect, test } from 'vitest';
import { Architecture } from './architecture.ts';
import { BundleSource } from './bundle-source.ts';
import { check } from './check.ts';
import { writtenFor } from './described-code.ts';

const call = (source: string): unknown => ({ module: { source } });
const issueOf = (source: unknown) => BundleSource.safeParse(source).error?.issues[0];

test.each([
  { module: { source: 'network/google' } },
  { module: { source: 'terraform-google-modules/network/google', version: '~> 9.1, < 10' } },
  { module: { source: 'app.example.com/team/net/aws//modules/a' }, outputs: ['id'] },
  { module: { source: 'git::https://example.com/net.git//sub?ref=v1.2.0' } },
  { module: { source: 'git@example.com:team/net.git' }, variables: ['password'] },
  { module: { source: 'git::ssh://git@example.com/net.git' } },
  { module: { source: 'http://127.0.0.1:8080/net.zip' }, outputs: [{ name: 'key', sensitive: true }] },
  { module: { source: 's3::https://s3-eu-west-1.amazonaws.com/bucket/net.zip' } },
  { module: { source: 'git::https://example.com/signatures/token@v1.git?ref=token-2&depth=1' } },
  { configuration: { module: { net: { source: 'git::ssh://git@example.com/net.git' } } } },
  { configuration: { resource: { terraform_data: { a: {} } }, output: { a: { value: 1 } } } },
])('%j is taken', (source) => expect(BundleSource.parse(source)).toEqual(source));

describe('what is no module that can be fetched', () => {
  test.each([
    './net',
    '../net',
    '/etc',
    '~/net',
    'C:/net',
    'file:///etc',
    'git::file:///etc',
    'git::/etc',
    'git::../net',
    'net/../../etc',
    'https://example.com/a.zip//../../etc',
    'ext::sh -c id',
    'git::ext::sh',
    '-x',
    'git::--upload-pack=id',
    'a b',
    'a\nb',
    '$(id)',
    '`id`',
    '$' + '{file("/etc/passwd")}',
    '%{ if true }a%{ endif }',
    '"',
    '',
    'a'.repeat(1_100),
  ])('%j', (source) => {
    expect(issueOf(call(source))).toMatchObject({ path: ['module', 'source'] });
  });

  test('a password, which is not repeated', () => {
    for (const source of [
      'git::https://me:hunter2@example.com/a.git',
      'git::https://hunter2@example.com/a.git',
      'https://hunter2@example.com/a.zip',
      'git::HTTP://hunter2@example.com/a.git',
      'git::ssh://me:hunter2@example.com/a.git',
      'git::ssh://git@example.com/a.git?sshkey=hunter2',
      's3::https://x/y.zip?aws_access_key_secret=hunter2',
      'https://example.com/a.zip?access_token=hunter2',
      'https://example.com/a.zip?ref=v1&private_token=hunter2',
      'https://example.com/a.zip?%74oken=hunter2',
      'https://example.com/a.zip?X-Amz-Date=1&X-Amz-Signature=hunter2',
      'https://example.com/a.zip?sv=1&sig=hunter2',
    ])
      for (const written of [call(source), { configuration: { module: [{ net: [{ source }] }] } }]) {
        const said = JSON.stringify(BundleSource.safeParse(written).error);
        expect(said, source).toContain('has no password in it');
        expect(said).not.toContain('hunter2');
      }
  });
});

test.each([
  { module: { source: 'a/b/c', version: '"' } },
  { module: { source: 'a/b/c' }, outputs: ['a"b'] },
  { module: { source: 'a/b/c' }, outputs: ['a', { name: 'a', sensitive: true }] },
  { module: { source: 'a/b/c' }, outputs: ['a}'] },
  { module: { source: 'a/b/c' }, variables: ['source'] },
  { module: { source: 'a/b/c' }, variables: ['__proto__', 'for_each'] },
  { module: { source: 'a/b/c' }, path: 'x' },
  { module: { source: 'a/b/c', providers: {} } },
  { module: { source: 'a/b/c' }, configuration: {} },
  { configuration: {} },
  { configuration: 'resource "x" "y" {}' },
  { configuration: { module: { net: { source: '../net' } } } },
  { configuration: { module: [{ net: [{ source: './net' }] }] } },
  { configuration: { module: { net: { source: 'git::--upload-pack=id' } } } },
  { configuration: { locals: { a: 'x'.repeat(300_000) } } },
  { configuration: { locals: JSON.parse(`${'['.repeat(60)}${']'.repeat(60)}`) } },
])('%# is refused', (source) => expect(BundleSource.safeParse(source).success).toBe(false));

test('the same description comes to the same text, in whatever order it is written', () => {
  const one = writtenFor({ configuration: { variable: { b: {}, a: { default: 1 } }, output: {} } });
  const other = writtenFor({ configuration: { output: {}, variable: { a: { default: 1 }, b: {} } } });
  expect(one).toBe(other);
  expect(JSON.parse(one)).toEqual({ output: {}, variable: { a: { default: 1 }, b: {} } });
});

test('a call passes on what the module of the architecture has, and hands outputs on', () => {
  const read = (variables: object, source: object) =>
    Architecture.parse({
      name: 'shop',
      project_id: 'my-project',
      region: 'europe-west4',
      dataflows: { front: { modules: { net: { source, variables } } } },
    });
  const described = {
    module: { source: 'network/google', version: '~> 9.1' },
    variables: ['password'],
    outputs: ['id', { name: 'key', sensitive: true }],
  };
  const document = read({ zone: 'a', cidr: '10.0.0.0/8' }, described);
  const { source } = document.dataflows.front?.modules.net ?? {};
  expect(source).toEqual({ ...described, variables: ['cidr', 'password', 'zone'] });
  // Whoever reads it again reads the same.
  expect(Architecture.parse(document)).toEqual(document);
  if (typeof source !== 'object' || !('module' in source)) throw new Error('It was described');
  expect(JSON.parse(writtenFor(source))).toEqual({
    module: {
      main: {
        source: 'network/google',
        version: '~> 9.1',
        cidr: '$' + '{var.cidr}',
        password: '$' + '{var.password}',
        zone: '$' + '{var.zone}',
      },
    },
    variable: { cidr: {}, password: {}, zone: {} },
    output: {
      id: { value: '$' + '{module.main.id}' },
      key: { value: '$' + '{module.main.key}', sensitive: true },
    },
  });
  expect(() => read({ source: '/etc' }, described)).toThrow(/is no variable of a module/);
});

test('what looks like a reference of ours within a configuration is the tool’s', () => {
  const configuration = {
    module: { net: { source: 'network/google' } },
    output: { id: { value: '$' + '{module.net.id}' }, all: { value: '$' + '{topic.nobody.name}' } },
  };
  const document = Architecture.parse({
    name: 'shop',
    project_id: 'my-project',
    region: 'europe-west4',
    dataflows: { front: { modules: { line: { source: { configuration } } } } },
  });
  expect(document.dataflows.front?.modules.line?.source).toEqual({ configuration });
  expect(check(document).filter(({ severity }) => severity === 'error')).toEqual([]);
});
