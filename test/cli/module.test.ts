/** `conductor deploy DIR` at a real director on a local cloud: a folder of Terraform code by itself, from its plan to its end. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CliAnswer, callCli } from '@service-director/conductor/cli/testing.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from '../director/support/director.ts';
import { documentOf } from '../director/support/documents.ts';
import { openWorld, PROJECT, type World } from '../director/support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const hasTerraform = spawnSync('terraform', ['version'], { stdio: 'ignore' }).status === 0;
if (!hasTerraform)
  process.stdout.write('Terraform is not on PATH: what conductor deploy has it do is not tested here.\n');

/** What may show nowhere. */
const SECRET = 'staple-battery-horse';

const CODE = `
variable "greeting" {
  type = string
}
variable "count_of" {
  type    = list(string)
  default = ["one"]
}
variable "password" {
  type      = string
  sensitive = true
}
resource "terraform_data" "line" {
  for_each         = toset(var.count_of)
  input            = var.greeting
  triggers_replace = length(var.greeting) > 8
}
resource "terraform_data" "vault" {
  input = var.password
}
output "greeting" {
  value = terraform_data.line["one"].output
}
output "password" {
  value     = var.password
  sensitive = true
}
`;

let world: World;
let folder = '';

beforeAll(async () => {
  world = await openWorld();
  folder = join(world.dir, 'code');
  mkdirSync(join(folder, 'Greetings 2'), { recursive: true });
  writeFileSync(join(folder, 'Greetings 2', 'main.tf'), CODE);
});
afterAll(() => world.stop());

function at(director: DirectorProcess, cwd = folder): (...argv: string[]) => Promise<CliAnswer> {
  const where = ['--endpoint', world.running.origin, '--director-url', director.url, '--project', PROJECT];
  return (...argv) => callCli(['deploy', ...argv, ...where], { cwd });
}

describe.skipIf(!hasTerraform)('a folder of Terraform code', () => {
  let director: DirectorProcess;
  let deploy: (...argv: string[]) => Promise<CliAnswer>;

  beforeAll(async () => {
    const env = { TERRAFORM_WORK_DIR: join(world.dir, 'terraform'), TF_VAR_password: SECRET };
    director = await startDirector(world, { env });
    await director.ready();
    deploy = at(director);
  });

  test('is planned, and nothing is made', async () => {
    const { code, stdout, stderr } = await deploy('Greetings 2', '--var', 'greeting=hello', '--dry-run');
    expect(stderr).toContain(
      'greetings-2/module: 1 to change, 0 unchanged\n  + module/greetings-2\n      + terraform_data.line["one"]\n      + terraform_data.vault\n',
    );
    expect(stderr).toMatch(/planned in [\d.]+ s: nothing was changed\n$/);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect((await director.get('/stacks')).body.stacks).toMatchObject([{ version: 0, units: 0 }]);
  });

  test('is deployed: its plan, what the tool says, and what it outputs but no secret', async () => {
    const { code, stdout, stderr } = await deploy('Greetings 2', '--var', 'greeting=hello');
    expect(stderr).toContain('  module/greetings-2: terraform_data.line["one"]: Creating...\n');
    expect(stderr).toMatch(/done in [\d.]+ s: module\/greetings-2 created\n$/);
    const order = ['1 to change', 'Creating...', 'Apply complete!', 'module/greetings-2: created'];
    const places = order.map((text) => stderr.indexOf(text));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'greeting = hello\n' });
    expect(stderr).not.toContain(SECRET);
  });

  test('a second time nothing changes, and its outputs are told again', async () => {
    const { stdout, stderr } = await deploy('Greetings 2', '--var', 'greeting=hello');
    expect(stderr).toMatch(/0 to change, 1 unchanged\n(.*\n)*.*: nothing to change\n$/);
    expect(stdout).toBe('greeting = hello\n');
  });

  test('the plan marks what is changed, replaced and deleted, by resource', async () => {
    const two = await deploy('Greetings 2', '--var', 'greeting=hello', '--var', 'count_of:=["one", "two"]');
    expect(two.stderr).toContain('  ~ module/greetings-2\n      + terraform_data.line["two"]\n');
    const other = await deploy('Greetings 2', '--var', 'greeting=good morning', '--dry-run');
    expect(other.stderr).toMatch(
      / {6}-\/\+ terraform_data\.line\["one"\] {2}triggers_replace cannot be changed in place; .*input/,
    );
    expect(other.stderr).toMatch(
      / {6}- terraform_data\.line\["two"\] {2}its key is not in for_each any more\n/,
    );
    const small = await deploy(
      'Greetings 2',
      '--var',
      'greeting=hi',
      '--dry-run',
      '--var',
      'count_of:=["one"]',
    );
    expect(small.stderr).toContain('      ~ terraform_data.line["one"]  input, output\n');
  });

  test('in JSON each line is an event, and the last says what it came to', async () => {
    const { code, stdout, stderr } = await deploy('Greetings 2', '--var', 'greeting=hello', '--json');
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ type }) => type)).toContain('task-output');
    const outputs = { greeting: 'hello' };
    expect(lines.at(-1)).toMatchObject({ type: 'deployed', stack: 'greetings-2/module', outputs });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).not.toContain(SECRET);
  });

  test('a variable that nobody gave is asked for', async () => {
    const { code, stderr } = await deploy('Greetings 2', '--name', 'nameless');
    expect(stderr).toContain('The root module input variable "greeting" is not set');
    expect(stderr).toContain(
      "\n  fix: give it one with --var KEY=VALUE; a secret in the director's environment, as TF_VAR_KEY\n",
    );
    expect(code).toBe(1);
  });

  test('in production it waits for an approval, unless that was given with it', async () => {
    const production = ['Greetings 2', '--environment', 'production', '--var', 'greeting=hello'];
    const waited = await deploy(...production, '--timeout', '10s');
    expect(waited.stderr).toContain(
      'greetings-2-production/module awaits approval, and this run waits for it.',
    );
    expect(waited.stderr).toContain('It was not done within 10 s; what the director was told goes on');
    expect(waited.code).toBe(124);
    const id = /approve it: {4}conductor approve (\S+) /.exec(waited.stderr)?.[1] ?? '';
    expect(waited.stderr).toContain(`\n  fix: watch it with conductor deployments logs ${id} `);
    expect((await director.get(`/deployments/${id}`)).body).toMatchObject({ status: 'awaiting_approval' });
    expect((await director.post('cancel', JSON.stringify({ deployment: id }))).status).toBe(202);
    const approved = await deploy(...production, '--auto-approve');
    expect(approved).toMatchObject({ code: 0, stdout: 'greeting = hello\n' });
  });

  test('an architecture says where the director is, and its name is not taken by a module', async () => {
    const here = join(world.dir, 'described');
    mkdirSync(here);
    const resources = { topics: [{ name: 'described-topic' }] };
    const described = documentOf('described', { flow: { resources } });
    // JSON is YAML.
    writeFileSync(join(here, 'architecture.yaml'), JSON.stringify(described));
    await world.send('dataflow-setup', 'described1', { architecture: { document: described } });
    await world.recorder.answerTo('described1');
    const where = ['--endpoint', world.running.origin, '--director-url', director.url];
    const code = join(folder, 'Greetings 2');
    const call = (...argv: string[]) =>
      callCli(['deploy', code, ...argv, '--var', 'greeting=hello', ...where], { cwd: world.dir });
    expect(await call('described', '--name', 'beside')).toMatchObject({
      code: 0,
      stdout: 'greeting = hello\n',
    });
    const taken = await call('described', '--name', 'described');
    expect(taken.stderr).toContain(
      'There is an architecture described already, whose dataflows are: flow\n  fix: give the module a name of its own: --name my-described\n',
    );
    expect(taken.code).toBe(64);
  });

  test('is destroyed, and then there is nothing to destroy', async () => {
    const { code, stderr } = await deploy('Greetings 2', '--destroy');
    expect(stderr).toContain('  - module/greetings-2\n');
    expect(stderr).toMatch(/done in [\d.]+ s: module\/greetings-2 deleted\n$/);
    expect(code).toBe(0);
    const again = await deploy('Greetings 2', '--destroy');
    expect(again.stderr).toMatch(/: nothing to change\n$/);
  });
});

test('where the director has no Terraform, it says so', async () => {
  const env = { TERRAFORM_WORK_DIR: join(world.dir, 'none'), TERRAFORM_BINARY: '/nowhere/terraform' };
  const director = await startDirector(world, { name: 'without', env });
  await director.ready();
  const { code, stderr } = await at(director)('Greetings 2', '--var', 'greeting=hello');
  expect(stderr).toContain('Terraform cannot be started: there is no program /nowhere/terraform\n');
  expect(stderr).toContain(
    '  fix: install Terraform 1.5 or newer where the director runs, or set TERRAFORM_BINARY',
  );
  expect(code).toBe(1);
  await director.stop();
});

test('a director that does not answer is told of as one', async () => {
  const nobody = ['--director-url', 'http://127.0.0.1:9', '--project', PROJECT, '--timeout', '2s'];
  const argv = ['deploy', 'Greetings 2', '--endpoint', world.running.origin, ...nobody];
  const { code, stderr } = await callCli(argv, { cwd: folder });
  expect(stderr).toContain('The director at http://127.0.0.1:9 does not answer');
  expect(code).toBe(69);
});

test.each([
  [[], 'The folder with the code is missing', 'conductor deploy DIR [FILE]'],
  [['nowhere'], 'nowhere is no folder', 'name the folder with the code'],
  [['.', '--engine', 'bicep'], '--engine bicep: there is no such engine', 'it can be terraform'],
  [['.', '--var', SECRET], '--var is no variable', 'write it like --var KEY=VALUE or --var KEY:=JSON'],
  [
    ['.', '--var', `a:=${SECRET}`],
    '--var a:= is not followed by JSON',
    'correct it, or write --var a=TEXT for a text',
  ],
  [['.'], '. holds no Terraform code: no .tf file lies in it', 'name the folder with the code'],
  [['.', '--dry-run', '--destroy'], '--dry-run and --destroy exclude each other', 'leave one out'],
  [
    ['Greetings 2', '--name', 'x'],
    'In which project is not said',
    'name it with --project, a director that runs with --director-url, or the architecture that it came with: conductor deploy DIR [FILE]',
  ],
])('deploy %j is refused with what to do', async (argv, message, fix) => {
  const { code, stderr } = await callCli(['deploy', ...argv], { cwd: folder });
  expect(stderr).toBe(`error: ${message}\n  fix: ${fix}\n`);
  expect(code).toBe(64);
});

test('a name that cannot be one is refused with its rule', async () => {
  const argv = ['deploy', 'Greetings 2', '--name', 'Not A Name', '--project', PROJECT];
  const { code, stderr } = await callCli(argv, { cwd: folder });
  expect(stderr).toContain('at most 40 lower-case letters, digits or hyphens');
  expect(code).toBe(64);
});

test('a folder with a state of its own is not sent', async () => {
  const stateful = join(folder, 'stateful');
  mkdirSync(stateful);
  writeFileSync(join(stateful, 'main.tf'), CODE);
  writeFileSync(join(stateful, 'terraform.tfstate'), '{}');
  const director = await startDirector(world, { name: 'unasked' });
  await director.ready();
  const { code, stderr } = await at(director)('stateful', '--var', 'greeting=hello');
  expect(stderr).toContain('The folder of module stateful holds a state of its own, terraform.tfstate');
  expect(code).toBe(65);
  expect((await director.get('/commands')).body.commands).toEqual([]);
  await director.stop();
});
