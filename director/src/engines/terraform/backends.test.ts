/** Where states are kept that code declares no place for, told from outside. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Backends, demandNowhereElse, notePlaced, type Placed, placedBackend, placedIn } from './backends.ts';
import { keysOf } from './spec.ts';
import { artifactsIn, type Bench, bench, missing, newDir } from './testing.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const ALL: Backends = {
  gcp: { gcs: { bucket: 'states', prefix: 'prod' } },
  aws: { s3: { bucket: 'states', region: 'us-east-1', use_lockfile: true } },
  azure: { azurerm: { storage_account_name: 'account', container_name: 'states', key: 'prod' } },
  '*': { local: { path: '/var/states' } },
};
const keys = keysOf({ scope: 'shop', dataflow: 'front' }, 'net');
const PLACE = 'terraform/shop/front/net';

test('each module has a place of its own in each of them (D74)', () => {
  const placed = (['gcp', 'aws', 'azure', '*'] as const).map((cloud) => {
    const backend = ALL[cloud];
    if (!backend) throw new Error(`There is none for ${cloud}`);
    return placedIn(backend, PLACE);
  });
  expect(placed).toEqual([
    { gcs: { bucket: 'states', prefix: `prod/${PLACE}` } },
    { s3: { bucket: 'states', region: 'us-east-1', use_lockfile: true, key: `${PLACE}.tfstate` } },
    {
      azurerm: {
        storage_account_name: 'account',
        container_name: 'states',
        key: `prod/${PLACE}.tfstate`,
      },
    },
    {
      local: {
        path: `/var/states/${PLACE}/terraform.tfstate`,
        workspace_dir: `/var/states/${PLACE}/workspaces`,
      },
    },
  ]);
});

test('what names no place, is no backend, or brings a secret is refused', () => {
  const wrong = [
    { gcp: { gcs: { prefix: 'x' } } },
    { gcp: { s3: { bucket: 'x' } } },
    { '*': { local: { path: 'states' } } },
    { '*': { http: { address: 'https://example.com' } } },
    { aws: { s3: { bucket: 'x', region: 'y', secret_key: 'horse' } } },
    { aws: { s3: { bucket: 'x', region: 'y', assume_role_with_web_identity: { web_identity_token: 'h' } } } },
    { azure: { azurerm: { storage_account_name: 'x', container_name: 'y', sas_token: 'horse' } } },
    { oracle: { local: { path: '/x' } } },
  ];
  for (const one of wrong) expect(Backends.safeParse(one).success, JSON.stringify(one)).toBe(false);
  expect(Backends.parse(ALL)).toEqual(ALL);
  const harmless = {
    skip_credentials_validation: true,
    shared_credentials_files: ['x'],
    kms_encryption_key: 'k',
  };
  const bold = { gcp: { gcs: { bucket: 'x', ...harmless } } };
  expect(Backends.parse(bold)).toEqual(bold);
});

describe('which one it is', () => {
  let dir: string;
  let files = 0;

  beforeAll(() => {
    dir = newDir();
  });

  function of(name: string, code: string, artifacts = artifactsIn(join(dir, `kept-${++files}`))) {
    const bundle = join(dir, `bundle-${++files}`);
    mkdirSync(join(bundle, 'inner'), { recursive: true });
    writeFileSync(join(bundle, 'inner', name), code);
    const placed = () => placedBackend(bundle, keys, ALL, artifacts);
    return { artifacts, placed };
  }

  const typeOf = (placed: Placed | undefined): string | undefined => placed && Object.keys(placed)[0];

  test.each([
    ['main.tf', 'resource "google_storage_bucket" "a" {\n}\n', 'gcs'],
    ['main.tf', 'provider "google-beta" {\n}\n', 'gcs'],
    ['main.tf', 'data "aws_ami" "a" {\n}\n', 's3'],
    ['main.tf', 'resource "azurerm_virtual_machine" "a" {\n}\n', 'azurerm'],
    ['main.tf', 'resource "terraform_data" "a" {\n  input = "aws_x"\n}\n', 'local'],
    ['main.tf', 'resource "aws_s3_bucket" "a" {\n}\nresource "google_x" "b" {\n}\n', 'local'],
    ['main.tf.json', '{"resource": {"aws_s3_bucket": {"a": {}}}}', 's3'],
  ])('%s: %j has %s', async (name, code, type) => {
    expect(typeOf(await of(name, code).placed())).toBe(type);
  });

  test('stays, whatever the code becomes; and a state that the director has stays with it', async () => {
    const first = of('main.tf', 'resource "aws_s3_bucket" "a" {\n}\n');
    const placed = await first.placed();
    if (!placed) throw new Error('There is none');
    await notePlaced(placed, keys, first.artifacts);
    expect(await of('main.tf', 'resource "google_x" "b" {\n}\n', first.artifacts).placed()).toEqual(placed);
    const kept = of('main.tf', 'resource "aws_s3_bucket" "a" {\n}\n');
    await demandNowhereElse(keys, kept.artifacts);
    await kept.artifacts.write(keys.state, Buffer.from('{}'));
    expect(await kept.placed()).toBeUndefined();
    await expect(demandNowhereElse(keys, kept.artifacts)).rejects.toThrow('lies with the director');
    await expect(demandNowhereElse(keys, first.artifacts)).rejects.toThrow('where TERRAFORM_BACKENDS put it');
  });
});

if (missing !== undefined) process.stdout.write(`${missing}\n`);
describe.skipIf(missing !== undefined)('with the tool', () => {
  const dir = newDir();
  const states = join(dir, 'states');
  let on: Bench;
  let off: Bench;

  beforeAll(() => {
    on = bench({ backends: { '*': { local: { path: states } } } }, dir);
    off = bench({}, dir);
  });
  afterAll(() => on.close());

  const code = (input: string): Record<string, string> => ({
    'main.tf': `resource "terraform_data" "a" {\n  input = "${input}"\n}\noutput "o" {\n  value = terraform_data.a.output\n}\n`,
  });

  test('its state is there and nowhere else, is gone on with, and goes with it', async () => {
    const file = join(states, PLACE, 'terraform.tfstate');
    const made = await on.up(await on.work(code('one')));
    expect(made).toMatchObject({ status: 'done', outputs: { o: 'one' } });
    const { lineage } = JSON.parse(readFileSync(file, 'utf8'));
    expect(await on.options.artifacts.read(keys.state)).toBeUndefined();
    // Another director, that was never told of it, finds it all the same.
    expect(await off.plan(await off.work(code('one')))).toMatchObject({ change: { action: 'none' } });
    expect(await off.up(await off.work(code('two')))).toMatchObject({
      status: 'done',
      outputs: { o: 'two' },
    });
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ lineage });
    expect(await on.destroy(await on.work(code('two')))).toMatchObject({ status: 'done' });
    expect(JSON.parse(readFileSync(file, 'utf8')).resources).toEqual([]);
    expect(await on.options.artifacts.read(keys.backend)).toBeUndefined();
  });

  test('in a workspace of its own', async () => {
    const more = { name: 'spaced', workspace: 'blue' };
    expect(await on.up(await on.work(code('one'), more))).toMatchObject({ status: 'done' });
    const folder = join(states, 'terraform/shop/front/spaced');
    expect(existsSync(join(folder, 'workspaces/blue/terraform.tfstate'))).toBe(true);
    expect(await on.plan(await on.work(code('one'), more))).toMatchObject({ change: { action: 'none' } });
  });

  test('what was kept here before stays here, and what the code declares is left alone', async () => {
    const more = { name: 'older' };
    await off.up(await off.work(code('one'), more));
    expect(await on.plan(await on.work(code('one'), more))).toMatchObject({ change: { action: 'none' } });
    expect(existsSync(join(states, 'terraform/shop/front/older'))).toBe(false);
    const own = `terraform {\n  backend "http" {\n    address = "http://127.0.0.1:9/"\n  }\n}\n`;
    const work = await on.work({ ...code('one'), 'backend.tf': own }, { name: 'own' });
    await expect(on.plan(work)).rejects.toThrow(/127\.0\.0\.1:9/);
    expect(await on.options.artifacts.read(keysOf(work.unit.owner, 'own').backend)).toBeUndefined();
  });

  test('a state that the bundle brings is neither believed nor passed over', async () => {
    const state = {
      version: 4,
      serial: 1,
      lineage: 'x',
      outputs: { o: { value: 'x', type: 'string' } },
      resources: [],
    };
    const files = { ...code('one'), 'terraform.tfstate': JSON.stringify(state) };
    await expect(on.plan(await on.work(files, { name: 'brought' }))).rejects.toThrow(/a state of its own/);
  });
});
