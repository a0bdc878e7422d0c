/** The engine on the real tool: from nothing to a module, its changes, and to nothing again. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import { Halted } from '@service-director/shared/engine/drive.ts';
import { UNKNOWN } from '@service-director/shared/model/unit.ts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Bench, bench, missing } from './testing.ts';

if (missing) process.stderr.write(`${missing}\n`);

const MODULE = {
  'main.tf': `
    variable "size" {
      type    = number
      default = 1
    }
    variable "color" { default = "red" }
    resource "terraform_data" "one" {
      input            = var.size
      triggers_replace = var.color
    }
    module "inner" {
      source = "./inner"
      id     = terraform_data.one.id
    }
    output "size" { value = var.size }
    output "inner" { value = module.inner.id }
    output "list" { value = [var.size, "b"] }
  `,
  'inner/main.tf': `
    variable "id" {}
    resource "terraform_data" "two" {
      count = 2
      input = var.id
    }
    output "id" { value = terraform_data.two[0].id }
  `,
};

let at: Bench;
beforeEach(() => {
  at = bench();
});
afterEach(() => at.close());

describe.skipIf(missing !== undefined)('a module', () => {
  test('goes up as planned, is changed, and goes', async () => {
    const work = await at.work(MODULE);
    const planned = await at.plan(work);
    expect(planned).toMatchObject({ change: { action: 'create' }, outputs: { size: '1', list: '[1,"b"]' } });
    expect(planned.resources).toEqual([
      { address: 'terraform_data.one', type: 'terraform_data', action: 'create' },
      { address: 'module.inner.terraform_data.two[0]', type: 'terraform_data', action: 'create' },
      { address: 'module.inner.terraform_data.two[1]', type: 'terraform_data', action: 'create' },
    ]);
    expect(at.recorded).toEqual([]);

    at.lines.length = 0;
    const outcome = await at.apply(work, planned.change);
    expect(outcome).toMatchObject({
      status: 'done',
      outputs: { size: '1', list: '[1,"b"]', inner: expect.stringMatching(/^[0-9a-f-]{36}$/) },
    });
    // Exactly that plan: none was made a second time.
    expect(at.lines.filter(({ message }) => message.startsWith('Plan: '))).toEqual([]);
    expect(at.lines).toContainEqual(
      expect.objectContaining({
        resource: 'terraform_data.one',
        message: expect.stringContaining('Creation complete'),
      }),
    );
    const resources = outcome.status === 'done' ? (outcome.resources ?? []) : [];
    expect(resources.map(({ address }) => address)).toEqual([
      'terraform_data.one',
      'module.inner.terraform_data.two[0]',
      'module.inner.terraform_data.two[1]',
    ]);
    expect(resources[1]).toMatchObject({ type: 'terraform_data', dependencies: ['terraform_data.one'] });
    expect(at.recorded).toEqual(['create']);
    expect(at.rooms()).toEqual([]);

    expect(await at.plan(work)).toMatchObject({ change: { action: 'none' }, seconds: 0 });
    expect(await at.look(work)).toMatchObject({ change: { action: 'none' }, outputs: { size: '1' } });

    const larger = await at.work(MODULE, { variables: { size: 2, color: 'blue' } });
    const change = await at.plan(larger);
    expect(change.change).toEqual({
      action: 'update',
      fields: expect.arrayContaining(['terraform_data.one', 'output.size']),
    });
    expect(change.resources?.find(({ address }) => address === 'terraform_data.one')).toEqual({
      address: 'terraform_data.one',
      type: 'terraform_data',
      action: 'replace',
      fields: ['id', 'input', 'output', 'triggers_replace'],
      because: 'triggers_replace cannot be changed in place',
    });
    expect(await at.apply(larger, change.change)).toMatchObject({ status: 'done', outputs: { size: '2' } });

    expect(await at.destroy(larger)).toMatchObject({ status: 'done', change: { action: 'delete' } });
    expect(at.recorded).toEqual(['create', 'update', 'remove']);
    expect(await at.destroy(larger)).toMatchObject({ status: 'done' });
    expect(await at.look(larger)).toMatchObject({ change: { action: 'create' } });
    expect(at.rooms()).toEqual([]);
  });

  test('from a folder of its bundle, in a workspace, with a declared local backend', async () => {
    const files = {
      'deep/er/main.tf': `
        terraform {
          backend "local" {
            path = "/proc/nowhere"
          }
        }
        resource "terraform_data" "a" {}
        output "space" { value = terraform.workspace }`,
    };
    const work = await at.work(files, { path: 'deep/er', workspace: 'blue' });
    expect(await at.up(work)).toMatchObject({ status: 'done', outputs: { space: 'blue' } });
    expect(await at.plan(work)).toMatchObject({ change: { action: 'none' } });
    expect(await at.destroy(work)).toMatchObject({ status: 'done' });
  });

  test('a plan that does not fit any more is not applied', async () => {
    const small = await at.work(MODULE);
    await at.up(small);
    const larger = await at.work(MODULE, { variables: { size: 2 } });
    const { change } = await at.plan(larger);
    // Another plan came in between, and its apply.
    await at.up(await at.work(MODULE, { variables: { color: 'blue' } }));
    expect(await at.apply(larger, change)).toMatchObject({
      status: 'failed',
      error: { reason: 'refused', message: expect.stringContaining('stale') },
    });
    expect(at.rooms()).toEqual([]);
  });

  test('a plan that was lost is made again, and applied where it comes to the same', async () => {
    const work = await at.work(MODULE);
    const { change } = await at.plan(work);
    await at.options.artifacts.remove('terraform/shop/front/net/plan');
    expect(await at.apply(work, change)).toMatchObject({ status: 'done' });
  });

  test('what takes an output that is not there yet is planned when it is', async () => {
    const before = await at.work(MODULE, { variables: { size: UNKNOWN } });
    const planned = await at.plan(before);
    expect(planned).toEqual({ change: { action: 'create' }, outputs: {}, seconds: 7 });
    expect(await at.apply(before, planned.change)).toMatchObject({
      status: 'failed',
      error: { reason: 'precondition' },
    });
    const work = await at.work(MODULE, { variables: { size: 3 } });
    expect(await at.apply(work, planned.change)).toMatchObject({ status: 'done', outputs: { size: '3' } });
    const later = await at.plan(await at.work(MODULE, { variables: { size: UNKNOWN } }));
    expect(later.change).toEqual({ action: 'update', fields: ['variables.size'] });
    const changed = await at.work(MODULE, { variables: { size: 4 } });
    expect(await at.apply(changed, later.change)).toMatchObject({ status: 'done', outputs: { size: '4' } });
  });

  test('moved and imported resources are told as such', async () => {
    await at.up(await at.work({ 'main.tf': 'resource "terraform_data" "a" {}' }));
    const work = await at.work({
      'main.tf': `
        resource "terraform_data" "b" {}
        resource "terraform_data" "c" {}
        moved {
          from = terraform_data.a
          to   = terraform_data.b
        }
        import {
          to = terraform_data.c
          id = "known"
        }`,
    });
    const { resources, change } = await at.plan(work);
    expect(resources).toEqual([
      {
        address: 'terraform_data.b',
        type: 'terraform_data',
        action: 'move',
        because: 'moved from terraform_data.a',
      },
      { address: 'terraform_data.c', type: 'terraform_data', action: 'import' },
    ]);
    expect(await at.apply(work, change)).toMatchObject({ status: 'done' });
    expect(await at.plan(work)).toMatchObject({ change: { action: 'none' } });
  });

  test('what fails half-way is kept, and only the rest is made by the next', async () => {
    const files = (command: string) => ({
      'main.tf': `
        resource "terraform_data" "a" {
          provisioner "local-exec" { command = "echo made >> ${at.dir}/made" }
        }
        resource "terraform_data" "b" {
          depends_on = [terraform_data.a]
          provisioner "local-exec" { command = "${command}" }
        }`,
    });
    const outcome = await at.up(await at.work(files('exit 3')));
    expect(outcome).toMatchObject({
      status: 'failed',
      error: {
        message: expect.stringMatching(/^Terraform apply failed: .*exit status 3/),
        fix: expect.any(String),
      },
    });
    expect(at.rooms()).toEqual([]);
    const work = await at.work(files('true'));
    const { resources, change } = await at.plan(work);
    expect(resources).toEqual([
      expect.objectContaining({
        address: 'terraform_data.b',
        action: 'replace',
        because: 'it was not made completely',
      }),
    ]);
    expect(await at.apply(work, change)).toMatchObject({ status: 'done' });
    expect(readFileSync(join(at.dir, 'made'), 'utf8')).toBe('made\n');
  });

  test.for([
    ['resource "terraform_data" {}', /^Terraform plan failed: .*[Ll]abel/],
    ['resource "x" "y" {', /^Terraform plan failed: Unclosed configuration block/],
    [
      'variable "must" {}\nresource "terraform_data" "a" { input = var.must }',
      /^Terraform plan failed: No value for required variable/,
    ],
  ] as const)('a plan of %j that fails says why', async ([text, message]) => {
    const error = await at.plan(await at.work({ 'main.tf': text })).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(CloudError);
    expect(error).toMatchObject({ message: expect.stringMatching(message), fix: expect.any(String) });
    expect(at.rooms()).toEqual([]);
  });

  test('shell characters change nothing', async () => {
    const evil = `$(touch ${at.dir}/a) \`touch ${at.dir}/b\` \${upper("x")} -x\n; rm 'x' "y" \\ %{ if true }`;
    const work = await at.work(
      {
        'main.tf':
          'variable "text" {}\nresource "terraform_data" "a" { input = var.text }\noutput "text" { value = var.text }',
      },
      { name: `-x;\n$(touch ${at.dir}/c)/../..`, variables: { text: evil } },
    );
    expect(await at.up(work)).toMatchObject({ status: 'done', outputs: { text: evil } });
    expect(readdirSync(at.dir).sort()).toEqual(['artifacts', 'work']);
    expect(await at.destroy(work)).toMatchObject({ status: 'done' });
    expect(at.rooms()).toEqual([]);
  });

  test('the variables lie in a file that only we can read, and the folder is ours alone', async () => {
    const seen = `${at.dir}/seen`;
    const files = {
      'main.tf': `
        variable "v" {}
        resource "terraform_data" "a" {
          provisioner "local-exec" {
            command = "ls -a > ${seen}; stat -c %a ~*.json . ../ >> ${seen}; tr '\\\\0' ' ' < /proc/$PPID/cmdline >> ${seen}; env >> ${seen}; pwd > ${seen}.pwd"
          }
        }`,
    };
    await at.up(await at.work(files, { variables: { v: 'planted-value' } }));
    const text = readFileSync(seen, 'utf8');
    expect(text).toContain('\n600\n');
    expect(text).toContain('TF_IN_AUTOMATION=1');
    expect(text).not.toContain('planted-value');
    expect(text).not.toContain('VITEST');
    const pwd = readFileSync(`${seen}.pwd`, 'utf8').trim();
    expect(pwd).toMatch(/\/work\/[0-9a-f]{32}\/bundle$/);
    expect(() => statSync(pwd)).toThrow();
  });

  test('a variable that nobody declared is refused by name', async () => {
    await expect(at.plan(await at.work(MODULE, { variables: { colour: 'red' } }))).rejects.toMatchObject({
      reason: 'invalid',
      message: 'The Terraform module declares no variable colour',
      fix: expect.stringContaining('color, size'),
    });
  });

  test('a bundle with a state of its own is refused', async () => {
    const state = { version: 4, serial: 1, lineage: 'l', outputs: { a: { value: 'x' } } };
    const files = { 'main.tf': '', 'terraform.tfstate': JSON.stringify(state) };
    await expect(at.plan(await at.work(files))).rejects.toMatchObject({ reason: 'refused' });
  });

  test('nothing is begun once nothing may be done, and that is not our failure', async () => {
    const work = await at.work(MODULE);
    const { change } = await at.plan(work);
    const halted = new Halted('the lease is over');
    const demandFresh = (): void => {
      throw halted;
    };
    await expect(at.apply(work, change, { demandFresh })).rejects.toBe(halted);
    await expect(at.apply(work, change, { record: () => Promise.reject(halted) })).rejects.toBe(halted);
    expect(await at.look(work)).toMatchObject({ change: { action: 'create' } });
    expect(await at.apply(work, change)).toMatchObject({ status: 'done' });
  });
});
