/**
 * One graph of two engines: a topic, a Terraform module that takes its name, and a service that takes the module's
 * output. It goes up, is changed, is rolled back and goes down; the director is killed on the way, and nothing differs.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { bring } from './support/code.ts';
import { type DirectorProcess, startDirector, stateFile } from './support/director.ts';
import { documentOf, ephemeral, serviceOf } from './support/documents.ts';
import { type Ledger, openLedger } from './support/ledger.ts';
import { openWorld, PROJECT, REGION, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

const hasTerraform = spawnSync('terraform', ['version'], { stdio: 'ignore' }).status === 0;
if (!hasTerraform)
  process.stdout.write('Terraform is not on PATH: graphs with its modules are not tested here.\n');

/** What no log, event, state or answer may hold. */
const SECRET = 'correct-horse-battery';

const CODE = `
variable "topic" {}
variable "greeting" {}
variable "password" {
  sensitive = true
}
resource "terraform_data" "line" {
  count = 4
  input = "\${var.greeting} \${count.index} by \${var.topic}"
}
resource "terraform_data" "vault" {
  input = var.password
}
output "address" {
  value = terraform_data.line[0].output
}
output "password" {
  value     = var.password
  sensitive = true
}
`;

describe.skipIf(!hasTerraform)('a graph of two engines', () => {
  let world: World;
  let director: DirectorProcess;
  let ledger: Ledger;
  let digest: string;

  beforeAll(async () => {
    world = await openWorld();
    await restart();
    ledger = openLedger(world);
    digest = await bring(director, CODE);
  });
  afterAll(async () => {
    ledger.close();
    await world.stop();
  });

  async function restart(): Promise<void> {
    const env = { TERRAFORM_WORK_DIR: join(world.dir, 'terraform'), TF_VAR_password: SECRET };
    director = await startDirector(world, { env });
    await director.ready();
  }

  const document = (greeting: string): object =>
    documentOf('mixed', {
      flow: {
        ...ephemeral({
          services: {
            'mixed-greeter': serviceOf('mixed-greeter', world.images.serves, {
              deployment: {
                image: world.images.serves,
                region: REGION,
                // biome-ignore lint/suspicious/noTemplateCurlyInString: a reference, as a user writes it.
                environment_vars: { ADDRESS: '${module.address.address}' },
              },
            }),
          },
          resources: { topics: [{ name: 'mixed-orders' }] },
        }),
        modules: {
          address: {
            source: { digest },
            // biome-ignore lint/suspicious/noTemplateCurlyInString: a reference, as a user writes it.
            variables: { topic: '${topic.mixed-orders.name}', greeting },
          },
        },
      },
    });

  /** Runs a command, with a kill at each of these moments of its journal. */
  async function run(
    type: 'dataflow-setup' | 'deploy' | 'teardown' | 'rollback',
    id: string,
    data: object,
    kills: readonly number[],
  ): Promise<void> {
    // Ways back have no topic in this world; the ledger is the same.
    if (type === 'rollback') await director.post(type, JSON.stringify(data), { 'ce-id': id });
    else await world.send(type, id, data);
    for (const moment of kills) await killAt(id, moment);
    expect(await world.recorder.answerTo(id)).toMatchObject({ type: 'completed' });
  }

  async function killAt(id: string, moment: number): Promise<void> {
    const deadline = AbortSignal.timeout(60_000);
    while (ledger.count('journal', `${id}.`) < moment && !hasEnded(id)) {
      deadline.throwIfAborted();
      await nextTurn();
    }
    await director.kill();
    await restart();
  }

  function hasEnded(id: string): boolean {
    const [row] = Object.values(ledger.read('commands', id)) as { answer?: object }[];
    return row?.answer !== undefined;
  }

  async function address(): Promise<unknown> {
    const service = (await world.call(
      'GET',
      `/v2/projects/${PROJECT}/locations/${REGION}/services/mixed-greeter`,
    )) as { template: { containers: { env: { name: string; value: string }[] }[] } };
    return service.template.containers[0]?.env.find(({ name }) => name === 'ADDRESS')?.value;
  }

  const moduleState = (): { resources: { address: string; attributes: object }[] } =>
    ledger.read('units', 'mixed/flow//module/address')['mixed/flow//module/address'] as never;

  test('goes up, with kills', async () => {
    await run('dataflow-setup', 'up1', { architecture: { document: document('hello') } }, [2, 5, 8]);
    await run('deploy', 'up2', { architecture: { document: document('hello') } }, [3]);
    expect(await address()).toBe('hello 0 by mixed-orders');
    const addresses = moduleState().resources.map((resource) => resource.address);
    expect(addresses.sort()).toEqual([
      ...[0, 1, 2, 3].map((index) => `terraform_data.line[${index}]`),
      'terraform_data.vault',
    ]);
  });

  test('is changed, with kills', async () => {
    await run('dataflow-setup', 'change1', { architecture: { document: document('welcome') } }, [2, 4, 6]);
    await run('deploy', 'change2', { architecture: { document: document('welcome') } }, []);
    expect(await address()).toBe('welcome 0 by mixed-orders');
  });

  test('a second time nothing changes', async () => {
    const before = ledger.count('versions', 'mixed/');
    await run('dataflow-setup', 'again', { architecture: { document: document('welcome') } }, []);
    expect(ledger.count('versions', 'mixed/')).toBe(before);
  });

  test('is rolled back to the first version with its service, with kills', async () => {
    const back = { dataflow: 'flow', scope: 'mixed', to_version: 2, reason: 'too warm', auto_approve: true };
    await run('rollback', 'back', back, [3, 6]);
    expect(await address()).toBe('hello 0 by mixed-orders');
  });

  test('goes down, with kills', async () => {
    await run('teardown', 'down', { dataflow: 'flow', scope: 'mixed' }, [3, 6]);
    expect(ledger.count('units', 'mixed/flow//')).toBe(0);
    expect(ledger.count('artifacts', 'terraform/mixed/')).toBe(0);
  });

  test('no work is left behind, and the secret is nowhere', async () => {
    const work = join(world.dir, 'terraform');
    expect(existsSync(work) ? readdirSync(work).filter((name) => !name.startsWith('.')) : []).toEqual([]);
    expect(director.output()).not.toContain(SECRET);
    expect(JSON.stringify(world.recorder)).not.toContain(SECRET);
    const file = stateFile(world);
    for (const path of [file, `${file}-wal`])
      if (existsSync(path)) expect(readFileSync(path).includes(SECRET)).toBe(false);
  });
});
