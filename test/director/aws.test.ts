/** Terraform's provider for AWS, in one graph with a topic of Google Cloud, on AWS as moto plays it. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  AWS_REGION,
  findAws,
  giveIdentity,
  mirrorConfig,
  type RunningAws,
  SESSION_SECRET,
  startAws,
} from './support/aws.ts';
import { bring } from './support/code.ts';
import { type DirectorProcess, startDirector, stateFile } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { type Ledger, openLedger } from './support/ledger.ts';
import { openWorld, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 });

const tools = findAws();
if ('missing' in tools)
  process.stdout.write(`Terraform's provider for AWS is not tested here: ${tools.missing}.\n`);

/** The provider takes its time to start, each time anew. */
const PATIENCE_MS = 220_000;

/** What no log, event, state or answer may hold. */
const SECRET = 'staple-battery-horse';

const CODE = `
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
provider "aws" {
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}
variable "topic" {}
variable "queue" {}
variable "days" { type = number }
resource "aws_s3_bucket" "archive" {
  bucket = "archive-of-\${var.topic}"
  tags   = { topic = var.topic, days = var.days }
}
resource "aws_s3_bucket" "spare" {
  bucket = "spare-of-\${var.topic}"
}
resource "aws_sqs_queue" "orders" {
  name                      = var.queue
  message_retention_seconds = var.days * 86400
}
output "queue" { value = aws_sqs_queue.orders.name }
`;

describe.skipIf('missing' in tools)('AWS, from the same graph', () => {
  let aws: RunningAws;
  let world: World;
  let director: DirectorProcess;
  let ledger: Ledger;
  let digest: string;

  beforeAll(async () => {
    if ('missing' in tools) throw new Error(tools.missing);
    [aws, world] = await Promise.all([startAws(), openWorld()]);
    const env = {
      TERRAFORM_WORK_DIR: join(world.dir, 'terraform'),
      TF_CLI_CONFIG_FILE: mirrorConfig(tools, world.dir),
      AWS_ENDPOINT_URL: aws.url,
      AWS_REGION,
      AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
      AWS_SECRET_ACCESS_KEY: SECRET,
    };
    director = await startDirector(world, { env });
    await director.ready();
    ledger = openLedger(world);
    digest = await bring(director, CODE);
  });
  afterAll(async () => {
    ledger?.close();
    await world?.stop();
    await aws?.stop();
  });

  async function setUp(id: string, queue: string, days: number): Promise<void> {
    const flow = {
      ...ephemeral({ resources: { topics: [{ name: 'aws-orders' }] } }),
      modules: {
        archive: {
          source: { digest },
          // biome-ignore lint/suspicious/noTemplateCurlyInString: a reference, as a user writes it.
          variables: { topic: '${topic.aws-orders.name}', queue, days },
        },
      },
    };
    await world.send('dataflow-setup', id, { architecture: { document: documentOf('aws', { flow }) } });
    expect(await world.recorder.answerTo(id, PATIENCE_MS)).toMatchObject({ type: 'completed' });
  }

  /** What was planned for the resources of the module, by their addresses. */
  async function planned(id: string): Promise<Record<string, unknown>> {
    const { body } = await director.get(`/v1/deployments/${id}.flow`);
    const unit = body.report.plan.changes.find(({ unit }: { unit: string }) => unit === 'module/archive');
    return Object.fromEntries(unit.resources.map((one: { address: string }) => [one.address, one]));
  }

  test('buckets and a queue are made, under the name that the topic has', async () => {
    await setUp('one', 'orders', 1);
    expect(await aws.buckets()).toEqual(['archive-of-aws-orders', 'spare-of-aws-orders']);
    expect(await aws.queues()).toEqual(['orders']);
    const unit = ledger.read('units', 'aws/flow//module/archive')['aws/flow//module/archive'];
    expect(unit).toMatchObject({
      outputs: { queue: 'orders' },
      resources: [
        { address: 'aws_s3_bucket.archive', provider: expect.stringContaining('hashicorp/aws') },
        { address: 'aws_s3_bucket.spare' },
        { address: 'aws_sqs_queue.orders', attributes: { message_retention_seconds: 86_400 } },
      ],
    });
  });

  test('a change: updated where AWS can, replaced with the reason where not, made where it was deleted by hand', async () => {
    await aws.deleteBucket('spare-of-aws-orders');
    await setUp('two', 'purchases', 2);
    expect(await aws.buckets()).toEqual(['archive-of-aws-orders', 'spare-of-aws-orders']);
    expect(await aws.queues()).toEqual(['purchases']);
    const changes = await planned('two');
    expect(changes).toMatchObject({
      'aws_s3_bucket.archive': { action: 'update' },
      'aws_s3_bucket.spare': { action: 'create' },
      'aws_sqs_queue.orders': { action: 'replace' },
    });
    expect(JSON.stringify(changes['aws_sqs_queue.orders'])).toContain('name');
  });

  test('goes down, and the credentials are nowhere', async () => {
    await world.send('teardown', 'down', { dataflow: 'flow', scope: 'aws' });
    expect(await world.recorder.answerTo('down', PATIENCE_MS)).toMatchObject({ type: 'completed' });
    expect([await aws.buckets(), await aws.queues()]).toEqual([[], []]);
    expect(director.output()).not.toContain(SECRET);
    expect(JSON.stringify(world.recorder)).not.toContain(SECRET);
    const file = stateFile(world);
    for (const path of [file, `${file}-wal`])
      if (existsSync(path)) expect(readFileSync(path).includes(SECRET)).toBe(false);
  });

  test('no static key is needed: what the platform gives is used, and what it gives next without a restart (D152, D154)', async () => {
    if ('missing' in tools) throw new Error(tools.missing);
    const identity = await giveIdentity(aws, world.dir);
    try {
      await director.stop();
      const env = {
        TERRAFORM_WORK_DIR: join(world.dir, 'terraform'),
        TF_CLI_CONFIG_FILE: mirrorConfig(tools, world.dir),
        AWS_REGION,
        ...identity.env,
      };
      director = await startDirector(world, { env });
      await setUp('three', 'orders', 1);
      expect(await aws.queues()).toEqual(['orders']);
      identity.rotate();
      await setUp('four', 'orders', 3);
      expect(await planned('four')).toMatchObject({ 'aws_sqs_queue.orders': { action: 'update' } });
      await world.send('teardown', 'down-again', { dataflow: 'flow', scope: 'aws' });
      expect(await world.recorder.answerTo('down-again', PATIENCE_MS)).toMatchObject({ type: 'completed' });
      expect(await aws.queues()).toEqual([]);
      expect(identity.used).toEqual(['ASIAGENERATION1', 'ASIAGENERATION2']);
      expect(director.output() + JSON.stringify(world.recorder)).not.toContain(SESSION_SECRET);
    } finally {
      await identity.stop();
    }
  });
});
