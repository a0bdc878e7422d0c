/** One code in several regions at the same time: a module for each, and what fails in one keeps no other from its end. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { bring } from './support/code.ts';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { type Ledger, openLedger } from './support/ledger.ts';
import { openWorld, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const hasTerraform = spawnSync('terraform', ['version'], { stdio: 'ignore' }).status === 0;
if (!hasTerraform)
  process.stdout.write('Terraform is not on PATH: modules in several regions are not tested here.\n');

const CODE = `
variable "region" {}
variable "closed" { default = "none" }
resource "terraform_data" "shop" {
  input = "shop in \${var.region}"
  lifecycle {
    postcondition {
      condition     = self.output != "shop in \${var.closed}"
      error_message = "\${var.region} is closed"
    }
  }
}
output "shop" { value = terraform_data.shop.output }
`;
const REGIONS = ['asia-east1', 'europe-west1', 'us-central1'];

describe.skipIf(!hasTerraform)('several regions', () => {
  let world: World;
  let director: DirectorProcess;
  let ledger: Ledger;
  let digest: string;

  beforeAll(async () => {
    world = await openWorld();
    director = await startDirector(world, { env: { TERRAFORM_WORK_DIR: join(world.dir, 'terraform') } });
    await director.ready();
    ledger = openLedger(world);
    digest = await bring(director, CODE);
  });
  afterAll(async () => {
    ledger?.close();
    await world?.stop();
  });

  async function setUp(id: string, scope: string, variables: object = {}): Promise<{ type: string }> {
    const modules = Object.fromEntries(
      REGIONS.map((region) => [
        region,
        { source: { digest }, teardown_protection: false, variables: { region, ...variables } },
      ]),
    );
    const document = documentOf(scope, { flow: { ...ephemeral({}), modules } });
    await world.send('dataflow-setup', id, { architecture: { document } });
    return (await world.recorder.answerTo(id)) as { type: string };
  }

  const outputsIn = (scope: string): unknown =>
    Object.fromEntries(
      Object.values(ledger.read('units', `${scope}/`)).map((unit) => {
        const { id, outputs } = unit as { id: string; outputs: { shop?: string } };
        return [id.replace('module/', ''), outputs.shop];
      }),
    );

  test('are deployed at the same time (D186)', async () => {
    expect(await setUp('all', 'shops')).toMatchObject({ type: 'completed' });
    expect(outputsIn('shops')).toEqual(
      Object.fromEntries(REGIONS.map((region) => [region, `shop in ${region}`])),
    );
    const told = world.recorder.about('all').map(({ type }) => type);
    const order = told.filter((type) => type === 'unit-started' || type === 'unit-finished');
    expect(order.slice(0, REGIONS.length)).toEqual(REGIONS.map(() => 'unit-started'));
  });

  test('one that fails keeps no other from its end, and the next try does only that one (D186)', async () => {
    expect(await setUp('some', 'stalls', { closed: 'us-central1' })).toMatchObject({ type: 'failed' });
    const made = outputsIn('stalls') as Record<string, unknown>;
    expect(made['asia-east1']).toBe('shop in asia-east1');
    expect(made['europe-west1']).toBe('shop in europe-west1');
    expect(await setUp('rest', 'stalls')).toMatchObject({ type: 'completed' });
    expect(outputsIn('stalls')).toMatchObject({ 'us-central1': 'shop in us-central1' });
  });
});
