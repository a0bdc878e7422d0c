/**
 * The dialect at `/api` with the tool itself: how it is called, what it may see, what is told of it, what it leaves.
 *
 * The director calls a script in its place, which notes each call and then becomes the tool.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Client, clientOf, curlTo, type Generator, openGenerator } from './support/dharma.ts';
import type { Answered } from './support/dialects.ts';
import { type DirectorProcess, startDirector, stateFile } from './support/director.ts';
import { openWorld, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

const terraform = spawnSync('sh', ['-c', 'command -v terraform'], { encoding: 'utf8' }).stdout.trim();
if (terraform === '')
  process.stdout.write('Terraform is not on PATH: what /api does with it is not tested here.\n');

/** What no log, answer, state, file or argument may hold. */
const SECRETS = {
  AZURE_CLIENT_SECRET: 'azure-horse-battery',
  AWS_SECRET_ACCESS_KEY: 'aws-horse-battery',
  TF_VAR_password: 'variable-horse-battery',
};
const CREDENTIALS = {
  AZURE_SUBSCRIPTION_ID: 'the-subscription',
  AZURE_TENANT_ID: 'the-tenant',
  AZURE_CLIENT_ID: 'the-client',
  AWS_ACCESS_KEY_ID: 'the-access-key',
  AWS_REGION: 'us-east-1',
  GCP_PROJECT_ID: 'the-project',
  GCP_CREDENTIALS_FILE: '/path/to/key.json',
};

/** Throws while there is none. */
function numberIn(path: string): number {
  const [digits] = /^\d+(?=\n)/.exec(readFileSync(path, 'utf8')) ?? [];
  if (digits === undefined) throw new Error(`There is no number in ${path}`);
  return Number(digits);
}

let world: World;
let generator: Generator;
let director: DirectorProcess;
let client: Client;
/** Where the tool works, and what was called there. */
let workDir: string;
let calls: string;

describe.skipIf(terraform === '')('with Terraform', () => {
  beforeAll(async () => {
    world = await openWorld();
    generator = await openGenerator(() => '');
    workDir = join(world.dir, 'terraform');
    calls = join(world.dir, 'calls');
    const binary = join(world.dir, 'noted-terraform');
    writeFileSync(
      binary,
      `#!/bin/sh\nprintf '%s|%s|%s\\n' "$PWD" "$(stat -c %a "$PWD/../..")" "$*" >> '${calls}'\nexec '${terraform}' "$@"\n`,
    );
    chmodSync(binary, 0o755);
    mkdirSync(join(world.dir, 'plugins'));
    director = await startDirector(world, { env: environment(binary) });
    await director.ready();
    client = clientOf(curlTo(director.url));
  });
  afterAll(async () => {
    await generator.close();
    await world.stop();
  });

  function environment(binary: string): Record<string, string> {
    return {
      ...SECRETS,
      ...CREDENTIALS,
      NODE_ENV: 'production',
      IAC_GENERATOR_URL: generator.url,
      TERRAFORM_BINARY: binary,
      TERRAFORM_WORK_DIR: workDir,
      TERRAFORM_LOCAL_EXEC: 'allowed',
      TF_PLUGIN_CACHE_DIR: join(world.dir, 'plugins'),
    };
  }

  const wish = (blueprintId: string, job: string, more: object = {}): object => ({
    ...{ blueprintId, generationJobId: job, environment: 'dev', targetCloud: 'gcp', format: 'terraform' },
    ...more,
  });

  let written = 0;
  /** Starts a deployment of that code. */
  function start(
    blueprintId: string,
    code: string | Record<string, string>,
    more: object = {},
    by = client,
  ): Promise<string> {
    const job = `job-${++written}`;
    generator.write(job, typeof code === 'string' ? { 'main.tf': code } : code);
    return by.start(wish(blueprintId, job, more));
  }

  async function deployed(...wanted: Parameters<typeof start>): Promise<Answered['body']> {
    const body = await client.ended(await start(...wanted));
    expect(body).toMatchObject({ status: 'completed' });
    return body;
  }

  const thing = (name: string, input: string, more = ''): string =>
    `resource "terraform_data" "${name}" {\n  input = "${input}"\n${more}}\n`;
  const runs = (command: string, when = ''): string =>
    `  provisioner "local-exec" {\n    ${when}\n    command = <<-EOT\n${command}\nEOT\n  }\n`;

  /** What was called since, as the arguments; in one folder each time. */
  function called(): { readonly args: string; readonly dir: string; readonly mode: string }[] {
    if (!existsSync(calls)) return [];
    const lines = readFileSync(calls, 'utf8').trimEnd().split('\n');
    writeFileSync(calls, '');
    return lines
      .filter((line) => line !== '')
      .map((line) => {
        const [dir = '', mode = '', args = ''] = line.split('|');
        return { dir, mode, args };
      });
  }

  async function logsOf(id: string): Promise<Answered['body']> {
    return (await client.curl(`/api/deployments/${id}/logs`)).body.logs;
  }

  test('init, a saved plan, that plan, the state: each in a private folder, as wide as was asked (D30, D68 to D72, D75, D163)', async () => {
    called();
    await deployed('workflow', thing('web', 'one'), { options: { parallelism: 3 } });
    const made = called();
    expect(made.map(({ args }) => args.split(' ')[0])).toEqual(['init', 'plan', 'show', 'apply']);
    const [, plan, show, apply] = made;
    const file = /-out=(\S+)/.exec(plan?.args ?? '')?.[1];
    expect(file).toBeDefined();
    expect(show?.args).toBe(`show -json ${file}`);
    expect(apply?.args.split(' ').at(-1)).toBe(file);
    for (const { dir, mode } of made) {
      expect(dir.startsWith(`${workDir}/`)).toBe(true);
      expect(dir).not.toContain('workflow');
      expect(mode).toBe('700');
    }
    for (const call of [plan, apply]) expect(call?.args).toContain(' -parallelism=3 ');
    await deployed('workflow', thing('web', 'two'));
    expect(called().filter(({ args }) => args.includes('-parallelism=10 '))).toHaveLength(2);
    await client.ended(await start('workflow', thing('web', 'three'), { options: { dryRun: true } }));
    expect(called().map(({ args }) => args.split(' ')[0])).toEqual(['init', 'plan', 'show']);
  });

  test('resources of modules too, outputs as plain values, and only what changed is changed (D40, D41, D53, D98, D165, D166)', async () => {
    const other = {
      version: 4,
      terraform_version: '1.5.0',
      serial: 1,
      lineage: 'other',
      outputs: {},
      resources: [],
    };
    writeFileSync(join(world.dir, 'other.tfstate'), JSON.stringify(other));
    const code = {
      'main.tf': `module "net" {\n  source = "./net"\n}\n${thing('vm', 'web-vm-01', '  depends_on = [module.net]\n')}
data "terraform_remote_state" "other" {
  backend = "local"
  config  = { path = "${join(world.dir, 'other.tfstate')}" }
}
output "vm_ip" {
  value = "10.0.1.5"
}
output "zones" {
  value = ["a", "b"]
}`,
      'net/main.tf': thing('subnet', '10.0.1.0/24'),
    };
    const first = await deployed('flat', code);
    expect(first.outputs).toEqual({ vm_ip: '10.0.1.5', zones: ['a', 'b'] });
    const resources = new Map(first.state.resources.map((one: { id: string }) => [one.id, one]));
    expect([...resources.keys()].sort()).toEqual(['module.net.terraform_data.subnet', 'terraform_data.vm']);
    expect(resources.get('terraform_data.vm')).toEqual({
      id: 'terraform_data.vm',
      type: 'terraform_data',
      name: 'vm',
      provider: 'terraform.io/builtin/terraform',
      attributes: expect.objectContaining({ input: 'web-vm-01' }),
      dependencies: ['module.net.terraform_data.subnet'],
      status: 'created',
    });
    const lines = await logsOf(first.id);
    const about = lines.filter(
      ({ resource }: { resource: string | null }) => resource === 'terraform_data.vm',
    );
    expect(about.map(({ message }: { message: string }) => message).join('\n')).toContain(
      'Creation complete',
    );

    const second = await deployed('flat', { ...code, 'main.tf': code['main.tf'].replace('vm-01', 'vm-02') });
    expect(second.plan).toMatchObject({ toCreate: 0, toUpdate: 1, toDelete: 0 });
    expect(second.resources).toEqual([{ id: 'terraform_data.vm', status: 'updated' }]);
    const after = second.state.resources.map(({ id, status }: Record<string, string>) => `${id} ${status}`);
    expect(after.sort()).toEqual(['module.net.terraform_data.subnet created', 'terraform_data.vm updated']);
  });

  test('a resource is creating until it is there, and deleting until it is gone (D140, D141, D143 to D145)', async () => {
    const gate = (name: string): string => join(world.dir, name);
    const wait = (name: string): string => `while [ ! -e '${gate(name)}' ]; do sleep 0.05; done`;
    // Of what is not described any more nothing would run when it goes.
    const code = (input: string, count: number): string =>
      thing('quick', input) +
      thing('slow', 'x', `  count = ${count}\n${runs(wait('made'))}${runs(wait('gone'), 'when = destroy')}`);
    const statusOf = (body: Answered['body'], name: string): string | undefined =>
      body.resources?.find(({ id }: { id: string }) => id === `terraform_data.${name}`)?.status;

    const first = await start('mid-way', code('x', 1));
    const making = await client.seen(first, (body) => statusOf(body, 'quick') === 'created');
    expect([making.status, statusOf(making, 'slow[0]')]).toEqual(['applying', 'creating']);
    expect(making.state).toBeUndefined();
    writeFileSync(gate('made'), '');
    expect(statusOf(await client.ended(first), 'slow[0]')).toBe('created');

    const second = await start('mid-way', code('y', 0));
    const removing = await client.seen(second, (body) => statusOf(body, 'slow[0]') === 'deleting');
    expect(removing.status).toBe('applying');
    writeFileSync(gate('gone'), '');
    const ended = await client.ended(second);
    expect([statusOf(ended, 'slow[0]'), statusOf(ended, 'quick')]).toEqual(['deleted', 'updated']);
    expect(ended.state.resources).toHaveLength(1);
  });

  test('what fails says which resource and why, and is kept for the next (D146, D149)', async () => {
    const bad = thing('bad', 'x', runs('echo insufficient permissions >&2; exit 1'));
    const body = await client.ended(await start('half', thing('good', 'x') + bad));
    expect(body).toMatchObject({ status: 'failed', state: { version: 1 } });
    expect(body.error).toMatch(/^Terraform apply failed: .*insufficient permissions/);
    expect(body.resources).toContainEqual({ id: 'terraform_data.bad', status: 'failed' });
    expect(await logsOf(body.id)).toContainEqual({
      timestamp: expect.any(String),
      level: 'error',
      message: expect.stringContaining('insufficient permissions'),
      resource: 'terraform_data.bad',
    });
    const planned = await client.ended(
      await start('half', `${thing('good', 'x')}output "o" {\n  value = nothing.at_all\n}`),
    );
    expect(planned.error).toMatch(/^Terraform plan failed: /);
    const mended = await deployed('half', thing('good', 'x') + thing('bad', 'x'));
    expect(mended.resources.map(({ id }: { id: string }) => id)).toEqual(['terraform_data.bad']);
  });

  test('all that init says is in the logs, when it ends well too (D178)', async () => {
    const code = { 'main.tf': 'module "net" {\n  source = "./net"\n}\n', 'net/main.tf': thing('a', 'x') };
    const body = await deployed('init-told', code);
    const said = (await logsOf(body.id)).map(({ message }: { message: string }) => message);
    const end = said.indexOf('Terraform has been successfully initialized!');
    const begin = said.findIndex((line: string) => line.startsWith('Initializing'));
    const applying = said.indexOf('Starting deployment apply');
    expect([said[0], begin > 0, end > begin, applying > end]).toEqual([
      'Starting deployment planning',
      ...[true, true, true],
    ]);
    expect(said.slice(begin, end).join('\n')).toContain('net in net');
  });

  test('outputs stay what they are: numbers numbers, texts texts (D41)', async () => {
    const values = {
      ...{ number: 5, half: 0.5, truth: true, list: ['a', 1], map: { zones: ['b'] } },
      ...{ text: 'x', digits: '5', listed: '["a"]', word: 'true' },
    };
    const outputs = Object.entries(values).map(
      ([name, value]) =>
        `output "${name}" {\n  value = jsondecode(${JSON.stringify(JSON.stringify(value))})\n}\n`,
    );
    const code = thing('web', 'x') + outputs.join('');
    expect((await deployed('typed', code)).outputs).toEqual(values);
    // Nothing is to be done, and they are told as before.
    expect((await deployed('typed', code)).outputs ?? values).toEqual(values);
    const more = `${code}output "count" {\n  value = 2\n}\n`;
    expect((await deployed('typed', more)).outputs).toEqual({ ...values, count: 2 });
  });

  test('the tool is asked for its version once, however often one asks whether all is ready (D174)', async () => {
    called();
    const answers = await Promise.all(Array.from({ length: 10 }, () => client.curl('/api/v1/ready')));
    for (const { status, body } of answers)
      expect([status, body.dependencies.terraform]).toEqual([200, 'ok']);
    expect((await client.curl('/api/v1/engines/terraform/health')).body.status).toBe('healthy');
    expect(called().map(({ args }) => args)).toEqual(['version -json']);
  });

  test('the doctor answers: tools, credentials, network, what is stuck, disk (D176)', async () => {
    const { status, body } = await client.curl('/v1/doctor');
    expect(status).toBe(200);
    const found = new Map<string, { status: string; detail: string }>(
      body.checks.map((one: { check: string }) => [one.check, one]),
    );
    expect(found.get('tool terraform')).toMatchObject({
      status: 'ok',
      detail: expect.stringMatching(/^Terraform \d/),
    });
    expect(found.get('credentials azure')).toMatchObject({ status: 'ok' });
    expect(found.get('credentials google')).toMatchObject({
      status: 'failed',
      detail: expect.stringContaining('GOOGLE_APPLICATION_CREDENTIALS'),
    });
    expect(found.get('network google')).toMatchObject({ status: 'ok' });
    expect(found.get('deployments')).toMatchObject({ status: 'ok' });
    expect(found.get('disk of tools')).toMatchObject({ status: 'ok' });
    for (const secret of Object.values(SECRETS)) expect(JSON.stringify(body)).not.toContain(secret);
  });

  test('an init that fails is told in the tool’s words, in the logs too (D178)', async () => {
    const id = await start('no-init', 'terraform {\n  required_version = ">= 99.0"\n}\n');
    const { error } = await client.ended(id);
    expect(error).toMatch(/^Terraform plan failed: .*Unsupported Terraform Core version/);
    const said = (await logsOf(id)).map(({ message }: { message: string }) => message).join('\n');
    expect(said).toContain('Deployment failed: Terraform plan failed: Unsupported Terraform Core version');
  });

  test('the tool has the credentials under the names that it reads, and none of it is repeated (D73, D113 to D121, D151, D153, D155, D159, D164)', async () => {
    const code = `variable "password" {
  sensitive = true
}
${thing('vault', 'x', runs(`env > '${world.dir}/env'; echo "$ARM_CLIENT_SECRET $AWS_SECRET_ACCESS_KEY"`))}
resource "terraform_data" "password" {
  input = var.password
}
output "password" {
  value     = var.password
  sensitive = true
}
`;
    called();
    const body = await deployed('secrets', code);
    const seen = readFileSync(join(world.dir, 'env'), 'utf8').split('\n');
    expect(seen).toEqual(
      expect.arrayContaining([
        'ARM_SUBSCRIPTION_ID=the-subscription',
        'ARM_TENANT_ID=the-tenant',
        'ARM_CLIENT_ID=the-client',
        `ARM_CLIENT_SECRET=${SECRETS.AZURE_CLIENT_SECRET}`,
        'AWS_ACCESS_KEY_ID=the-access-key',
        `AWS_SECRET_ACCESS_KEY=${SECRETS.AWS_SECRET_ACCESS_KEY}`,
        'AWS_REGION=us-east-1',
        'GOOGLE_PROJECT=the-project',
        'GOOGLE_APPLICATION_CREDENTIALS=/path/to/key.json',
        `TF_PLUGIN_CACHE_DIR=${join(world.dir, 'plugins')}`,
      ]),
    );
    expect(seen.filter((line) => /^(IAC_GENERATOR_URL|DIRECTOR_|NODE_ENV)/.test(line))).toEqual([]);
    expect(body.outputs).toEqual({});
    const vault = body.state.resources.find(({ name }: { name: string }) => name === 'password');
    expect(vault.attributes.input).toBe('(sensitive)');

    const failing = thing('leak', 'x', runs('echo "$ARM_CLIENT_SECRET" >&2; exit 1'));
    const bad = await client.ended(await start('leaking', failing));
    expect(bad.error).toMatch(/^Terraform apply failed: /);
    const paths = [body.id, bad.id].flatMap((id) =>
      ['', '/logs', '/state', '/state/history'].map((rest) => `/api/deployments/${id}${rest}`),
    );
    const answers = await Promise.all(
      paths.map(async (path) => JSON.stringify((await client.curl(path)).body)),
    );
    const state = stateFile(world);
    const files = ['', '-wal']
      .filter((end) => existsSync(state + end))
      .map((end) => readFileSync(state + end, 'latin1'));
    for (const { id } of [body, bad]) await world.recorder.answerTo(id);
    const events = JSON.stringify(world.recorder.all());
    const everything = [...answers, events, ...files, director.output(), JSON.stringify(called())].join('\n');
    expect(everything).toContain('secrets');
    for (const secret of Object.values(SECRETS)) expect(everything.includes(secret), secret).toBe(false);
  });

  test('what stands in an option is text, and no shell ever sees it (D159)', async () => {
    const proof = join(world.dir, 'proof');
    const options = { resourceGroup: `$(touch ${proof})`, region: `\`touch ${proof}\`` };
    await deployed('no-shell', thing('web', '$${HOME}; touch proof'), { options });
    expect(existsSync(proof)).toBe(false);
  });

  test('megabytes of output pass, and the logs have the beginning', async () => {
    const lines = 30_000;
    const flood = `i=0; while [ $i -lt ${lines} ]; do echo "line $i of a hundred characters or so, to make it more than what a pipe or a buffer holds ........"; i=$((i+1)); done`;
    const body = await deployed('flood', thing('web', 'x', runs(flood)));
    const said = (await logsOf(body.id)).map(({ message }: { message: string }) => message);
    expect(said.length).toBeGreaterThan(5_000);
    expect(said.at(-1)).toBe('Deployment completed successfully');
  });

  test('a cancel ends what runs, and nothing is left where it worked (D55, D108, D160, D161)', async () => {
    const noted = join(world.dir, 'pid');
    const endless = runs(`echo $$ > '${noted}'; while :; do sleep 0.05; done`);
    const id = await start('left', thing('web', 'x', endless));
    const pid = await until(() => numberIn(noted));
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    expect(readdirSync(workDir).length).toBeGreaterThan(0);
    await client.curl(`/api/deployments/${id}/cancel`, {});
    expect(await client.ended(id)).toMatchObject({ status: 'failed', error: 'Cancelled by user' });
    await until(() => expect(existsSync(`/proc/${pid}`)).toBe(false));
    // Whatever the tests before this one left would lie there too.
    await until(() => expect(readdirSync(workDir)).toEqual([]));
    expect(statSync(workDir).mode & 0o777).toBe(0o700);
  });

  test('production is approved by whoever may, with any of the APIs', async () => {
    const id = await start('gated', thing('web', 'x'), { environment: 'production' });
    const { approval } = await client.seen(id, (body) => body.approval !== undefined);
    const { body: command } = await client.curl(`/v1/commands/${id}`);
    const [deployment] = command.deployments;
    const data = { deployment: deployment.id ?? deployment, plan_hash: approval.planHash };
    const { status } = await client.curl('/v1/commands/approve', data, {
      'content-type': 'application/json',
    });
    expect(status).toBeLessThan(300);
    expect(await client.ended(id)).toMatchObject({ status: 'completed' });
  });

  describe('a director that is told otherwise', () => {
    let other: DirectorProcess;
    let its: Client;

    beforeAll(() => restart({ STATE_BACKUP_RETENTION: '3', LOG_LEVEL: 'error' }));

    async function restart(more: Record<string, string>): Promise<void> {
      other = await startDirector(world, { name: 'other', env: { ...environment(terraform), ...more } });
      await other.ready();
      its = clientOf(curlTo(other.url));
    }

    test('keeps as many versions as it is told to (D100, D112)', async () => {
      let id = '';
      for (let version = 1; version <= 6; version++) {
        id = await start('few', thing('web', `v${version}`), {}, its);
        expect(await its.ended(id)).toMatchObject({ status: 'completed', state: { version } });
      }
      const back = (targetVersion: number): Promise<Answered> =>
        its.curl(`/api/deployments/${id}/rollback`, { targetVersion, reason: 'to see how far' });
      const { status, body } = await back(2);
      expect(status).toBe(400);
      expect(body.error).toMatch(/Version 2 of .* is not kept any more; the oldest .* is 3$/);
      const { body: taken } = await back(3);
      expect(await its.ended(taken.rollbackDeploymentId)).toMatchObject({ status: 'completed' });
    });

    test('logs what it is told to, and no more (D106)', async () => {
      await deployed('logged', thing('web', 'x'));
      await its.ended(await start('logged', thing('web', 'x'), {}, its));
      expect(director.output()).toContain('command accepted');
      expect(other.output()).not.toContain('command accepted');
    });

    test('keeps states where it is told to, and nothing of them itself (D74)', async () => {
      const states = join(world.dir, 'states');
      const backends = { azure: { azurerm: { storage_account_name: 'a', container_name: 'b' } } };
      await other.kill();
      await restart({
        TERRAFORM_BACKENDS: JSON.stringify({ ...backends, '*': { local: { path: states } } }),
      });
      const id = await start('placed', thing('web', 'elsewhere'), {}, its);
      expect(await its.ended(id)).toMatchObject({ status: 'completed' });
      const files = readdirSync(states, { recursive: true }).filter((path) =>
        String(path).endsWith('terraform.tfstate'),
      );
      expect(files).toHaveLength(1);
      expect(readFileSync(join(states, String(files[0])), 'utf8')).toContain('elsewhere');
      const again = await its.ended(await start('placed', thing('web', 'elsewhere'), {}, its));
      expect(again).toMatchObject({ status: 'completed' });
      expect(again.resources).toBeUndefined();
      const changed = await its.ended(await start('placed', thing('web', 'still there'), {}, its));
      expect(changed.plan).toMatchObject({ toCreate: 0, toUpdate: 1 });
    });

    test('after its death another one knows all that it did, and goes on', async () => {
      const done = await start('survivor', thing('web', 'x'), {}, its);
      const before = await its.ended(done);
      const held = await start('survivor', thing('web', 'y'), { environment: 'production' }, its);
      await its.seen(held, ({ approval }) => approval !== undefined);
      await other.kill();
      await restart({});
      expect((await its.curl(`/api/deployments/${done}`)).body).toEqual(before);
      expect((await its.curl(`/api/deployments/${held}`)).body.status).toBe('planning');
      expect((await its.curl(`/api/deployments/${held}/cancel`, {})).status).toBe(200);
      expect(await its.ended(held)).toMatchObject({ error: 'Cancelled by user' });
    });
  });

  /** Long enough for what is not meant to take longer. */
  const PATIENCE_MS = 10_000;

  describe('a director that waits for ten seconds', () => {
    let its: Client;

    beforeAll(async () => {
      const env = { ...environment(terraform), MAX_DEPLOYMENT_TIMEOUT_MS: String(PATIENCE_MS) };
      const hasty = await startDirector(world, { name: 'hasty', env });
      await hasty.ready();
      its = clientOf(curlTo(hasty.url));
    });

    test('ends what takes too long, in planning and in applying, and gives the lock back (D111, D176)', async () => {
      generator.stall('never');
      const planning = await its.start(wish('stuck-planning', 'never'));
      const endless = thing('web', 'x', runs('while :; do sleep 0.1; done'));
      const applying = await start('stuck-applying', endless, {}, its);
      await its.seen(applying, ({ resources }) => resources !== undefined);
      for (const id of [planning, applying])
        expect(await its.ended(id)).toMatchObject({
          status: 'failed',
          error: expect.stringContaining('it was not done within 10 s'),
        });
      const lock = { operation: 'apply', who: 'user@example.com' };
      expect((await its.curl(`/api/deployments/${applying}/state/lock`, lock)).status).toBe(200);
    });

    test('does not count a wait for approval (D111)', async () => {
      const id = await start('patient', thing('web', 'x'), { environment: 'production' }, its);
      const { startedAt } = await its.seen(id, ({ approval }) => approval !== undefined);
      const end = Date.parse(startedAt) + PATIENCE_MS + 1_000;
      await until(() => expect(Date.now()).toBeGreaterThan(end));
      expect((await its.curl(`/api/deployments/${id}`)).body.status).toBe('planning');
      await its.curl(`/api/deployments/${id}/cancel`, {});
      expect(await its.ended(id)).toMatchObject({ error: 'Cancelled by user' });
    });
  });
});
