/** What must not get through: secrets into words, commands out of code, locks without a name. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readConfiguration } from './configuration.ts';
import { lockOf } from './failure.ts';
import { blocksOf } from './hcl.ts';
import { demandNoCommands, demandPlanWithoutCommands } from './policy.ts';
import { type Bench, bench, missing } from './testing.ts';

if (missing) process.stderr.write(`${missing}\n`);

let dir: string;
let at: Bench;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'guard-'));
  at = bench();
});
afterEach(() => {
  rmSync(dir, { recursive: true });
  at.close();
});

function write(files: Readonly<Record<string, string>>): string {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(dir, name, '..'), { recursive: true });
    writeFileSync(join(dir, name), text);
  }
  return dir;
}

test.for([
  ['provisioner "local-exec" { command = "x" }', 'provisioner "local-exec"'],
  ['resource "a" "b" {\n  provisioner local-exec {\n  }\n}', 'provisioner "local-exec"'],
  ['resource "a" "b" {\n  provisioner /* x */ "local\\u002dexec" {\n  }\n}', 'provisioner "local-exec"'],
  ['resource "a" "b" {\n  provisioner "remote-exec" {}\n}', 'provisioner "remote-exec"'],
  ['x = "\u0024{ 1 /* " */ }"\ndata "external" "e" {}', 'data "external"'],
  ['x = <<EOT\n"\u0024{\nEOT\ndata "external" "e" {\n}', 'data "external"'],
] as const)('%j is refused by the name of its file', async ([text, what]) => {
  write({ 'main.tf': '', 'modules/deep/run.tf': text });
  await expect(demandNoCommands(dir)).rejects.toMatchObject({
    reason: 'refused',
    message: `The Terraform code is refused: modules/deep/run.tf has a ${what}`,
  });
});

test.for([
  '{"resource":{"terraform_data":{"a":{"provisioner":{"local-exec":{"command":"x"}}}}}}',
  '{"resource":{"terraform_data":{"a":{"provisioner":[{"local\\u002dexec":{}}],"provisioner":[]}}}}',
  '{"data":{"external":{"a":{"program":["x"]}}}}',
])('%s is refused', async (text) => {
  await expect(demandNoCommands(write({ 'main.tf.json': text }))).rejects.toMatchObject({
    reason: 'refused',
  });
});

test('what only speaks of it is not refused', async () => {
  write({
    'main.tf': `
      # provisioner "local-exec" {}
      // data "external" "x" {}
      /* provisioner "local-exec" { */
      locals {
        a = "provisioner \\"local-exec\\" {"
        b = <<-EOT
          provisioner "local-exec" {
          EOT
        c = "\${join("", ["data \\"external\\" {"])}"
      }
      data "aws_region" "external" {}`,
    'README.md': 'provisioner "local-exec" {',
  });
  await expect(demandNoCommands(dir)).resolves.toBeUndefined();
});

test('a plan with commands in a module of a module is refused by address', () => {
  const inner = { resources: [{ address: 'null.x', type: 'null', provisioners: [{ type: 'local-exec' }] }] };
  const configuration = {
    root_module: { module_calls: { a: { module: { module_calls: { b: { module: inner } } } } } },
  };
  expect(() => demandPlanWithoutCommands(configuration)).toThrow(
    'module.a.module.b.null.x has a provisioner "local-exec"',
  );
  expect(() => demandPlanWithoutCommands({ root_module: {} })).not.toThrow();
});

test('blocks are told with their depth and settings', () => {
  const [outer, inner] = blocksOf('a "b" c {\n  d {\n    e = true\n  }\n}');
  expect(outer).toMatchObject({ type: 'a', labels: ['b', 'c'], depth: 0 });
  expect(inner).toMatchObject({ type: 'd', labels: [], depth: 1, settings: new Map([['e', 'true']]) });
});

test('a configuration tells its backend, its variables, and which of them are secret', async () => {
  write({
    'a.tf':
      'terraform {\n  backend "gcs" {\n  }\n}\nvariable "a" {\n  validation {\n    condition = true\n  }\n  sensitive = true\n}\nvariable "b" {\n  sensitive = false\n}',
    'b.tf.json': '{"variable":{"c":{"sensitive":true},"d":[{"default":1}]}}',
  });
  expect(await readConfiguration(dir)).toEqual({
    backend: 'gcs',
    variables: new Set(['a', 'b', 'c', 'd']),
    sensitive: new Set(['a', 'c']),
  });
});

test('a lock is explained', () => {
  const words = `Error acquiring the state lock
Error message: HTTP remote state already locked: ID=abc-1
Lock Info:
  ID:        abc-1
  Path:      shop/default.tfstate
  Operation: OperationTypeApply
  Who:       ann@laptop
  Version:   1.11.4
  Created:   2026-01-02 03:04:05 +0000 UTC
  Info:`;
  expect(lockOf(words)).toEqual({
    because: 'the state is locked by ann@laptop since 2026-01-02 03:04:05 +0000 UTC (apply)',
    fix: expect.stringContaining('terraform force-unlock abc-1'),
  });
  expect(lockOf(words.replace('ID:        abc-1', 'ID:        ours'))?.because).toBe(
    'the state is locked by somebody else',
  );
  expect(lockOf('Error: no such bucket')).toBeUndefined();
});

describe.skipIf(missing !== undefined)('on the real tool', () => {
  const SECRETS = {
    variable: 'planted-variable-1\nsecond-"line"-of-it',
    environment: 'planted-environment-2',
    output: 'planted-output-3',
  };

  function secretive(command: string): Record<string, string> {
    return {
      'main.tf': `
        variable "password" { sensitive = true }
        resource "terraform_data" "a" {
          input = nonsensitive(var.password)
          provisioner "local-exec" {
            command     = ${JSON.stringify(command)}
            environment = { P = nonsensitive(var.password) }
          }
        }
        output "secret" {
          value     = "${SECRETS.output}"
          sensitive = true
        }
        output "leak" { value = "x\${nonsensitive(var.password)}" }
        output "plain" { value = "plain" }`,
    };
  }

  test.for(['echo "$P"; echo "$AWS_SECRET_ACCESS_KEY"', 'echo "$P $AWS_SECRET_ACCESS_KEY" >&2; exit 1'])(
    'no secret comes out of %j',
    async (command) => {
      at.close();
      at = bench({ environment: { AWS_SECRET_ACCESS_KEY: SECRETS.environment } });
      const work = await at.work(secretive(command), { variables: { password: SECRETS.variable } });
      const planned = await at.plan(work);
      const outcome = await at.apply(work, planned.change);
      const words = [
        JSON.stringify([planned, outcome, at.lines]),
        outcome.status === 'failed'
          ? `${outcome.error.message} ${outcome.error.fix} ${outcome.error.stack}`
          : '',
      ].join('\n');
      expect(words).toContain('(sensitive)');
      for (const secret of Object.values(SECRETS).flatMap((text) => text.split('\n')))
        for (const form of [secret, JSON.stringify(secret).slice(1, -1)]) expect(words).not.toContain(form);
      if (outcome.status === 'done') expect(outcome.outputs).toEqual({ plain: 'plain' });
      expect(outcome.status).toBe(command.includes('exit') ? 'failed' : 'done');
    },
  );

  test('commands are refused before anything runs, unless they are allowed', async () => {
    const strict = bench({ allowLocalExec: false }, at.dir);
    const work = await at.work({
      'main.tf':
        'resource "terraform_data" "a" {\n  provisioner "local-exec" {\n    command = "true"\n  }\n}',
    });
    await expect(strict.plan(work)).rejects.toMatchObject({ reason: 'refused' });
    expect(strict.lines).toEqual([]);
    await at.up(work);
    expect(await strict.destroy(work)).toMatchObject({ status: 'failed', error: { reason: 'refused' } });
    const harmless = await strict.work({ 'main.tf': 'resource "terraform_data" "b" {}' }, { name: 'other' });
    expect(await strict.up(harmless)).toMatchObject({ status: 'done' });
  });

  test('a backend of its own is left alone, and its lock is explained (D74)', async () => {
    const { held, server } = await stateServer();
    try {
      const root = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const files = {
        'main.tf': `
          terraform {
            backend "http" {
              address        = "${root}/state"
              lock_address   = "${root}/lock"
              unlock_address = "${root}/lock"
            }
          }
          resource "terraform_data" "a" {}
          output "x" { value = "y" }`,
      };
      const work = await at.work(files);
      expect(await at.up(work)).toMatchObject({ status: 'done', outputs: { x: 'y' } });
      expect(held.state).toContain('terraform_data');
      expect(await at.options.artifacts.read('terraform/shop/front/net/state')).toBeUndefined();
      expect(await at.look(work)).toMatchObject({ change: { action: 'none' }, outputs: { x: 'y' } });
      expect(await at.plan(work)).toMatchObject({ change: { action: 'none' } });
      held.lock = JSON.stringify({
        ID: 'abc-1',
        Who: 'ann@laptop',
        Operation: 'OperationTypeApply',
        Created: '2026-01-02T03:04:05Z',
      });
      await expect(at.plan(work)).rejects.toMatchObject({
        reason: 'conflict',
        // That backend's words do not tell whose it is, only which.
        message: 'Terraform plan failed: the state is locked by somebody else',
        fix: expect.stringContaining('force-unlock abc-1'),
      });
      held.lock = undefined;
      expect(await at.destroy(work)).toMatchObject({ status: 'done' });
      expect(JSON.parse(held.state ?? '{}').resources).toEqual([]);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});

interface Held {
  state: string | undefined;
  lock: string | undefined;
}

/** What the tool's backend `http` talks to. */
async function stateServer(): Promise<{ held: Held; server: Server }> {
  const held: Held = { state: undefined, lock: undefined };
  const server = createServer(async (request, response) => {
    const body = await text(request);
    switch (request.method) {
      case 'LOCK':
        response.statusCode = held.lock === undefined ? 200 : 423;
        held.lock ??= body;
        return response.end(held.lock);
      case 'UNLOCK':
        held.lock = undefined;
        return response.end();
      case 'POST':
        held.state = body;
        return response.end();
      default:
        response.statusCode = held.state === undefined ? 404 : 200;
        return response.end(held.state);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { held, server };
}
