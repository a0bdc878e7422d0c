/** What a plan and a state amount to, from the tool's JSON alone: these need no tool. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type KeptPlan, strayFrom } from './kept.ts';
import { plainLine, read } from './messages.ts';
import { readPlan } from './plan-json.ts';
import { fits, keysOf, moduleSpec, roomName } from './spec.ts';
import { readState, readStateFile } from './state-json.ts';
import { bench } from './testing.ts';

interface Planned {
  readonly [field: string]: unknown;
  readonly change: object;
}

const resource = (address: string, change: object, more: object = {}): Planned => ({
  address,
  mode: 'managed',
  type: 'aws_vpc',
  name: 'main',
  provider_name: 'aws',
  ...more,
  change: { before: null, after: null, after_unknown: {}, ...change },
});

const planOf = (changes: readonly Planned[], more: object = {}): object => ({
  format_version: '1.2',
  resource_changes: changes,
  ...more,
});

const actions = (changes: readonly Planned[]) => readPlan(planOf(changes), true).summary.resources;

test('each action is told with its fields and its reason, and never a value', () => {
  const update = {
    actions: ['update'],
    before: { a: 1, b: 'old', c: 0 },
    after: { a: 1, b: 'planted', c: 0 },
  };
  const replaced = {
    actions: ['delete', 'create'],
    before: { cidr: 'x' },
    after: { cidr: 'y' },
    after_unknown: { id: true },
    replace_paths: [['cidr'], ['tags', 0]],
  };
  expect(
    actions([
      resource('a', { actions: ['no-op'] }),
      resource('b', { actions: ['create'], after: { password: 'planted' } }),
      resource('c', update),
      resource('d', replaced, { action_reason: 'replace_because_cannot_update' }),
      resource('e', { actions: ['create', 'delete'] }, { action_reason: 'replace_because_tainted' }),
      resource('f', { actions: ['delete'] }, { action_reason: 'delete_because_count_index' }),
      resource('g', { actions: ['forget'] }),
      resource('h', { actions: ['read'] }, { action_reason: 'read_because_config_unknown' }),
      resource('i', { actions: ['no-op'], importing: { id: 'x' } }),
      resource('j', { actions: ['update'], before: {}, after: { a: 1 }, importing: { id: 'x' } }),
      resource('k', { actions: ['no-op'] }, { previous_address: 'old' }),
    ]).map(({ type: _type, ...rest }) => rest),
  ).toEqual([
    { address: 'b', action: 'create' },
    { address: 'c', action: 'update', fields: ['b'] },
    {
      address: 'd',
      action: 'replace',
      fields: ['cidr', 'id'],
      because: 'cidr, tags.0 cannot be changed in place',
    },
    { address: 'e', action: 'replace', because: 'it was not made completely' },
    { address: 'f', action: 'delete', because: 'count is lower now' },
    { address: 'g', action: 'forget' },
    { address: 'h', action: 'read', because: 'what it asks for is known only after the apply' },
    { address: 'i', action: 'import' },
    { address: 'j', action: 'update', fields: ['a'], because: 'imported' },
    { address: 'k', action: 'move', because: 'moved from old' },
  ]);
});

test('a plan is nothing, a creation or an update', () => {
  const created = [resource('a', { actions: ['create'] })];
  expect(readPlan(planOf([]), false).summary.change).toEqual({ action: 'none' });
  expect(readPlan(planOf(created), false).summary.change).toEqual({ action: 'create' });
  expect(readPlan(planOf(created), true).summary.change).toEqual({ action: 'update', fields: ['a'] });
  const there = { prior_state: { values: { root_module: { resources: [{ mode: 'managed' }] } } } };
  expect(readPlan(planOf(created, there), false).summary.change).toEqual({ action: 'update', fields: ['a'] });
  const outputs = { output_changes: { x: { actions: ['update'] }, y: { actions: ['no-op'] } } };
  expect(readPlan(planOf([], outputs), true).summary.change).toEqual({
    action: 'update',
    fields: ['output.x'],
  });
});

test('outputs are told where they are known and not sensitive', () => {
  const more = {
    planned_values: {
      outputs: {
        text: { sensitive: false, value: 'a' },
        list: { sensitive: false, value: [1] },
        later: { sensitive: false },
        partly: { sensitive: false, value: { a: null } },
        secret: { sensitive: true, value: 'planted' },
      },
    },
    output_changes: { partly: { actions: ['create'], after_unknown: { a: true } } },
    variables: { p: { value: 'planted too' }, q: { value: 'plain' } },
    configuration: { root_module: { variables: { p: { sensitive: true }, q: {} } } },
  };
  const { summary, secrets } = readPlan(planOf([], more), true);
  expect(summary.outputs).toEqual({ text: 'a', list: '[1]' });
  expect(secrets).toEqual(['planted', 'planted too']);
});

test('a plan of another format is refused', () => {
  expect(() => readPlan({ format_version: '2.0' }, false)).toThrow('another format');
});

test('a state is told with its modules, its secrets hidden, and without what was only read', () => {
  const values = { id: 'x', password: 'planted', nested: [{ key: 'planted-2', other: 1 }] };
  const managed = {
    ...{
      address: 'module.a.module.b.x.y',
      mode: 'managed',
      type: 'x',
      name: 'y',
      provider_name: 'p',
      values,
    },
    sensitive_values: { password: true, nested: [{ key: true }] },
    depends_on: ['z'],
  };
  const inner = { resources: [managed, { ...managed, mode: 'data' }] };
  const state = readState({
    values: {
      outputs: { a: { value: { b: 1 } }, c: { value: 'planted-3', sensitive: true } },
      root_module: { child_modules: [{ child_modules: [inner] }] },
    },
  });
  expect(state.outputs).toEqual({ a: '{"b":1}' });
  expect(state.resources).toEqual([
    {
      address: 'module.a.module.b.x.y',
      type: 'x',
      name: 'y',
      provider: 'p',
      attributes: { id: 'x', password: '(sensitive)', nested: [{ key: '(sensitive)', other: 1 }] },
      dependencies: ['z'],
    },
  ]);
  expect(state.secrets).toEqual(['planted-3', 'planted', 'planted-2']);
  expect(readState({ format_version: '1.0' })).toEqual({
    outputs: {},
    values: {},
    resources: [],
    secrets: [],
  });
});

test('of a file only a whole state is believed', () => {
  const instance = {
    attributes: { password: 'planted' },
    sensitive_attributes: [[{ type: 'get_attr', value: 'password' }]],
  };
  const text = JSON.stringify({
    version: 4,
    serial: 2,
    lineage: 'l',
    resources: [{ instances: [instance] }],
  });
  expect(readStateFile(Buffer.from(text))).toMatchObject({ serial: 2, isEmpty: false, secrets: ['planted'] });
  expect(readStateFile(Buffer.from(text.slice(0, -2)))).toBeUndefined();
  expect(readStateFile(Buffer.from('{}'))).toBeUndefined();
});

test('lines are read where they are JSON, and shown plain where they are not', () => {
  expect(read('{"@level":"warn","@message":"m","type":"x","hook":{"resource":{"addr":"a.b"}}}').line).toEqual(
    {
      level: 'warning',
      message: 'm',
      resource: 'a.b',
    },
  );
  expect(read('{"broken').line).toEqual({ level: 'info', message: '{"broken' });
  expect(read(`{"@message":"${'x'.repeat(70_000)}`).line?.message).toBe('(a line too long to be read)');
  expect(plainLine('\u001b[31m│ \u001b[0m\u001b[1mError: no\u001b[0m')?.level).toBe('error');
  expect(plainLine('   ')).toBeUndefined();
});

test('only what was planned is applied in its name', () => {
  const spec = moduleSpec({ name: 'n', source: { digest: 'a'.repeat(64) } });
  const planned = { action: 'update', fields: ['a'] } as const;
  const change = (address: string, action: 'create' | 'replace' | 'read') => ({ address, type: 't', action });
  const kept: KeptPlan = {
    id: '1',
    inputs: 'i',
    change: planned,
    resources: [{ address: 'a', action: 'create' }],
  };
  const begun = { plan: '1', resources: kept.resources };
  const stray = (resources: ReturnType<typeof change>[], more: object = {}): string | undefined =>
    strayFrom(
      { planned, kept, begun: undefined, inputs: 'i', spec, ...more },
      { change: planned, resources },
    );
  expect(stray([change('a', 'create'), change('d', 'read')])).toBeUndefined();
  expect(stray([change('a', 'replace')])).toBe('a (replace)');
  expect(stray([change('b', 'create')])).toBe('b (create)');
  expect(stray([])).toBe('a (create)');
  expect(stray([change('a', 'replace')], { begun })).toBeUndefined();
  expect(stray([change('b', 'create')], { begun })).toBe('b');
  expect(stray([change('a', 'create')], { kept: undefined })).toBeUndefined();
  expect(stray([change('a', 'create')], { kept: undefined, planned: { action: 'create' } })).toBe('a');
});

test.for([
  { name: '' },
  { source: { digest: '../etc' } },
  { source: { digest: 'a'.repeat(64), path: '../x' } },
  { source: { digest: 'a'.repeat(64), path: '/x' } },
  { parallelism: 0 },
  { workspace: '-x' },
  { variables: { '-var': 1 } },
  { stranger: 1 },
])('a unit with %j is refused', (wrong) => {
  const spec = { name: 'n', source: { digest: 'a'.repeat(64) } };
  expect(moduleSpec(spec)).toMatchObject({ parallelism: 10, variables: {} });
  expect(() => moduleSpec({ ...spec, ...wrong })).toThrow("The Terraform module's");
});

test('no name leads elsewhere', () => {
  const owner = { scope: '..', dataflow: 'a/b' };
  expect(keysOf(owner, '.').state).toBe('terraform/%2E%2E/a%2Fb/%2E/state');
  expect(keysOf({ scope: 'shop', dataflow: 'front' }, 'net').state).toBe('terraform/shop/front/net/state');
  expect(roomName(owner, '../x')).toMatch(/^[0-9a-f]{32}$/);
});

test('what was unknown when it was planned may be anything, all else may not', () => {
  const planned = { a: '(known after apply)', b: [1, { c: '(known after apply)' }] };
  expect(fits(planned, { a: 'x', b: [1, { c: 2 }] })).toBe(true);
  expect(fits(planned, { a: 'x', b: [2, { c: 2 }] })).toBe(false);
  expect(fits(planned, { a: 'x', b: [1, { c: 2 }], d: 1 })).toBe(false);
});

test('health says what is missing and what to do (D174)', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'health-'));
  const binary = join(dir, 'terraform');
  const tell = (text: string): void => {
    writeFileSync(binary, `#!/bin/sh\necho '${text}'\n`);
    chmodSync(binary, 0o755);
  };
  const { health } = bench({ binary, workRoot: join(dir, 'work') }, dir);
  try {
    expect(await health()).toMatchObject({ ok: false, fix: expect.stringContaining('1.5') });
    tell('{"terraform_version":"1.4.9"}');
    expect(await health()).toMatchObject({ ok: false, because: 'Terraform 1.4.9 is too old' });
    tell('{"terraform_version":"1.5.0"}');
    expect(await health()).toMatchObject({ ok: true, version: '1.5.0', freeBytes: expect.any(Number) });
    writeFileSync(join(dir, 'file'), '');
    const elsewhere = bench({ binary, workRoot: join(dir, 'file', 'x') }, dir);
    expect(await elsewhere.health()).toMatchObject({
      ok: false,
      fix: expect.stringContaining('TERRAFORM_WORK_DIR'),
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
});
