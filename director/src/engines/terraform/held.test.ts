/** What stays between a plan and its apply, and what is read without the tool: nothing differs but the time. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Work } from '@service-director/shared/engine/engine.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readState } from './state-json.ts';
import { type Bench, bench, missing } from './testing.ts';
import { shownOf } from './written.ts';

if (missing) process.stderr.write(`${missing}\n`);

let at: Bench;
/** The ends of what is held, due whenever a test says so. */
const ends: (() => void)[] = [];
beforeEach(() => {
  ends.length = 0;
  at = open();
});
afterEach(() => at.close());

const PATIENT = { timeout: 20_000, interval: 20 };

/** A director of its own; what its tool was called with stands in a file. */
function open(dir?: string): Bench {
  const made = bench({}, dir);
  const binary = join(made.dir, 'noted-terraform');
  const calls = join(made.dir, 'calls');
  writeFileSync(
    binary,
    `#!/bin/sh\necho "$1" >> '${calls}'\nPATH='${process.env.PATH}' exec terraform "$@"\n`,
  );
  chmodSync(binary, 0o755);
  const clock = {
    ...systemClock,
    after: (ms: number, task: () => void) => {
      if (ms !== HELD_MS) return systemClock.after(ms, task);
      ends.push(task);
      return () => void ends.splice(ends.indexOf(task), 1);
    },
  };
  return bench({ binary, clock }, made.dir);
}

const HELD_MS = 30_000;

/** What was called since it was asked last. */
function called(): string[] {
  const calls = join(at.dir, 'calls');
  if (!existsSync(calls)) return [];
  const names = readFileSync(calls, 'utf8').trim().split('\n');
  writeFileSync(calls, '');
  return names.filter((name) => name !== '');
}

const everythingIn = (dir: string): string[] =>
  existsSync(dir) ? readdirSync(dir, { recursive: true }).map(String).sort() : [];

const MODULE = {
  'main.tf': `
    variable "word" { default = "planted-word" }
    module "inner" {
      source = "./inner"
      word   = var.word
    }
    output "word" { value = module.inner.word }`,
  'inner/main.tf': `
    variable "word" {}
    resource "terraform_data" "a" { input = var.word }
    output "word" { value = terraform_data.a.output }`,
};

describe.skipIf(missing !== undefined)('between a plan and its apply', () => {
  let work: Work;
  beforeEach(async () => {
    work = await at.work(MODULE, { workspace: 'blue', variables: { word: 'planted-value' } });
  });

  test('there is what init fetched, and nothing else; the apply runs the tool once', async () => {
    const { change } = await at.plan(work);
    expect(called()).toEqual(['init', 'workspace', 'plan', 'show']);
    const [room = ''] = at.rooms();
    const left = everythingIn(join(at.options.workRoot, room));
    expect(left).toContainEqual(
      expect.stringMatching(/^held\.[0-9a-f-]{36}\/\.terraform\/modules\/modules\.json$/),
    );
    expect(left.filter((path) => !/^held\.[^/]+(\/\.terraform(\/|$)|$)/.test(path))).toEqual([]);
    for (const path of left.filter((path) => /\.(json|tfstate)$|environment$/.test(path)))
      expect(readFileSync(join(at.options.workRoot, room, path), 'utf8')).not.toContain('planted');

    expect(await at.apply(work, change)).toMatchObject({
      status: 'done',
      outputs: { word: 'planted-value' },
    });
    expect(called()).toEqual(['apply']);
    expect(at.rooms()).toEqual([]);
    expect(ends).toEqual([]);
  });

  test('what a director left that died while it claimed the folder goes too', async () => {
    const { change } = await at.plan(work);
    const [room = ''] = at.rooms();
    writeFileSync(join(at.options.workRoot, room, 'director.json.1234'), '{');
    expect(await at.apply(work, change)).toMatchObject({ status: 'done' });
    expect(at.rooms()).toEqual([]);
  });

  test('it goes by itself, and then the apply fetches it again', async () => {
    const { change } = await at.plan(work);
    called();
    for (const end of ends) end();
    await expect.poll(() => at.rooms(), PATIENT).toEqual([]);
    expect(await at.apply(work, change)).toMatchObject({ status: 'done' });
    expect(called()).toEqual(['init', 'workspace', 'apply']);
  });

  test('it goes with the process that holds it', async () => {
    const jobs: (() => Promise<void>)[] = [];
    const ending = bench({ ...at.options, atEnd: (job) => void jobs.push(job) }, at.dir);
    await ending.plan(work);
    expect(ending.rooms()).toHaveLength(1);
    await Promise.all(jobs.map((job) => job()));
    expect(ending.rooms()).toEqual([]);
    // Its end was called off: nothing is left to be done later.
    expect(ends).toEqual([]);
  });

  test('it is not believed where another worked there, nor for another plan', async () => {
    const { change } = await at.plan(work);
    const other = open(at.dir);
    await other.plan(work);
    called();
    expect(await at.apply(work, change)).toMatchObject({ status: 'done' });
    expect(called()).toEqual(['init', 'workspace', 'apply']);

    await at.destroy(work);
    const changed = await at.work(MODULE, { workspace: 'blue' });
    await at.plan(work);
    called();
    expect(await at.apply(changed, change)).toMatchObject({ status: 'done' });
    expect(called()).toEqual(['init', 'workspace', 'plan', 'show', 'apply']);
    await at.destroy(changed);
    await at.plan(work);
    called();
    // Whatever was fetched for the one before.
    await at.plan(work);
    expect(called()).toEqual(['init', 'workspace', 'plan', 'show']);
  });

  test('a plan that changes nothing, or fails, leaves nothing', async () => {
    await at.up(work);
    expect(await at.plan(work)).toMatchObject({ change: { action: 'none' } });
    expect(at.rooms()).toEqual([]);
    const bad = await at.work({ 'main.tf': 'resource "terraform_data" "a" { input = var.nowhere }' });
    await expect(at.plan(bad)).rejects.toMatchObject({ reason: 'refused' });
    expect(at.rooms()).toEqual([]);
  });

  test('who works there when its time is over is left alone', async () => {
    await at.plan(work);
    const [room = ''] = at.rooms();
    const dir = join(at.options.workRoot, room);
    mkdirSync(join(dir, 'bundle'));
    for (const end of [...ends]) end();
    await expect.poll(() => existsSync(join(dir, 'director.json')), PATIENT).toBe(false);
    expect(everythingIn(dir)).toContain('bundle');
  });
});

describe.skipIf(missing !== undefined)('a state that was written', () => {
  const RICH = {
    'main.tf': `
      variable "secret" {
        sensitive = true
        default   = "planted-secret"
      }
      locals { words = { "a b" = 1, "ü" = 2, "c.d[0]" = 3 } }
      resource "terraform_data" "plain" {
        input            = { value = "x", type = "string", list = [1, 2.5, true, null, "t"] }
        triggers_replace = ["y", { z = "w" }]
      }
      resource "terraform_data" "counted" {
        count = 12
        input = count.index
      }
      resource "terraform_data" "keyed" {
        for_each = KEYS
        input    = each.value
      }
      resource "terraform_data" "secretive" {
        input = { open = "o", shut = var.secret, deep = [{ a = 1, b = var.secret }] }
      }
      resource "terraform_data" "empty" {}
      data "terraform_remote_state" "other" {
        backend = "local"
        config  = { path = "PLACE" }
      }
      module "m" {
        source   = "./m"
        for_each = toset(["one", "two words"])
        word     = each.key
        after    = terraform_data.plain.id
      }
      output "list" { value = [1, "a", null] }
      output "none" { value = null }
      output "secret" {
        value     = var.secret
        sensitive = true
      }`,
    'm/main.tf': `
      variable "word" {}
      variable "after" {}
      module "n" {
        source = "./n"
        word   = var.word
        after  = var.after
      }`,
    'm/n/main.tf': `
      variable "word" {}
      variable "after" {}
      resource "terraform_data" "deep" { input = [var.word, var.after] }`,
  };

  /** What the tool itself wrote, and what it shows of it. */
  function applied(keys: string): { readonly written: Buffer; readonly shown: unknown } {
    const dir = join(at.dir, 'bare');
    const other = join(at.dir, 'other.tfstate');
    const empty = { version: 4, terraform_version: '1.5.0', serial: 1, lineage: 'other' };
    writeFileSync(other, JSON.stringify({ ...empty, outputs: {}, resources: [] }));
    mkdirSync(join(dir, 'm', 'n'), { recursive: true });
    for (const [name, text] of Object.entries(RICH))
      writeFileSync(join(dir, name), text.replace('KEYS', keys).replace('PLACE', other));
    const env = { PATH: process.env.PATH, HOME: dir, CHECKPOINT_DISABLE: '1' };
    function run(...args: string[]): string {
      const { status, stdout, stderr } = spawnSync('terraform', args, { cwd: dir, env, encoding: 'utf8' });
      if (status !== 0) throw new Error(stderr);
      return stdout;
    }
    run('init', '-input=false');
    run('apply', '-auto-approve', '-input=false');
    return {
      written: readFileSync(join(dir, 'terraform.tfstate')),
      shown: JSON.parse(run('show', '-json')),
    };
  }

  const sorted = <T extends { readonly address: string }>(resources: readonly T[]): T[] =>
    resources.toSorted((a, b) => (a.address < b.address ? -1 : 1));

  test('is read as the tool shows it, secrets and all', () => {
    const { written, shown } = applied('{ "a b" = 1, "c.d[0]" = 3 }');
    const [ours, theirs] = [readState(shownOf(written)), readState(shown)];
    expect(theirs.resources).toHaveLength(19);
    expect(sorted(ours.resources)).toEqual(sorted(theirs.resources));
    expect(ours.outputs).toEqual(theirs.outputs);
    expect(ours.secrets.toSorted()).toEqual(theirs.secrets.toSorted());
    expect(ours.secrets).toContain('planted-secret');
  });

  test('is left to the tool where an address would have to be written otherwise', () => {
    expect(shownOf(applied('{ "a\\"b" = 1 }').written)).toBeUndefined();
  });
});

describe('a state of a provider', () => {
  const instance = {
    attributes: { id: 'i', tags: { value: 'v', type: 'A' }, password: 'p', list: [{ key: 'k' }] },
    sensitive_attributes: [
      [{ type: 'get_attr', value: 'password' }],
      [
        { type: 'get_attr', value: 'list' },
        { type: 'index', value: { value: 0, type: 'number' } },
        { type: 'get_attr', value: 'key' },
      ],
    ],
    dependencies: ['x.z'],
  };
  const provider = 'module.a.provider["registry.terraform.io/hashicorp/aws"].west';
  const resource = {
    module: 'module.a',
    mode: 'managed',
    type: 'x',
    name: 'y',
    provider,
    instances: [instance],
  };
  const stateOf = (changes: object, more: object = {}): Buffer =>
    Buffer.from(
      JSON.stringify({
        ...{ version: 4, terraform_version: '1.8.0', serial: 1, lineage: 'l', outputs: {} },
        resources: [{ ...resource, instances: [{ ...instance, ...changes }] }],
        ...more,
      }),
    );

  test('tells what is sensitive', () => {
    expect(readState(shownOf(stateOf({})))).toEqual({
      outputs: {},
      values: {},
      resources: [
        {
          ...{ address: 'module.a.x.y', type: 'x', name: 'y' },
          provider: 'registry.terraform.io/hashicorp/aws',
          attributes: {
            ...{ id: 'i', tags: { value: 'v', type: 'A' }, password: '(sensitive)' },
            list: [{ key: '(sensitive)' }],
          },
          dependencies: ['x.z'],
        },
      ],
      secrets: ['p', 'k'],
    });
    const all = readState(shownOf(stateOf({ sensitive_attributes: [[]] })));
    expect(new Set(Object.values(all.resources[0]?.attributes ?? {}))).toEqual(new Set(['(sensitive)']));
  });

  test.for([
    ['a tool that marks less', {}, { terraform_version: '1.7.5' }],
    ['a tool of another kind', {}, { terraform_version: '2.0.0' }],
    ['a state of another form', {}, { version: 5 }],
    ['a dynamic value', { attributes: { a: [{ value: 1, type: 'number' }] } }, {}],
    ['a dynamic object', { attributes: { a: { value: {}, type: ['object', {}] } } }, {}],
    ['a deposed instance', { deposed: 'abcd' }, {}],
    ['attributes of the old form', { attributes: undefined, attributes_flat: { id: 'i' } }, {}],
    ['a path that leads nowhere', { sensitive_attributes: [[{ type: 'get_attr', value: 'q' }]] }, {}],
    ['a step of another kind', { sensitive_attributes: [[{ type: 'splat', value: 'id' }]] }, {}],
  ] as const)('%s is left to the tool', ([, changes, more]) => {
    expect(shownOf(stateOf(changes, more))).toBeUndefined();
    expect(shownOf(stateOf({}))).toBeDefined();
  });
});
