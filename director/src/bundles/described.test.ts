/** Code that is written from its description, with the real tool: the configuration itself, and a module that is called. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { googleCloud, noCredentials } from '@service-director/shared/cloud/google.ts';
import type { Work } from '@service-director/shared/engine/engine.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { BundleSource } from '@service-director/shared/model/bundle-source.ts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Bench, bench, missing, workOf } from '../engines/terraform/testing.ts';
import { sources } from './sources.ts';

if (missing) process.stderr.write(`${missing}\n`);
vi.setConfig({ testTimeout: 60_000 });

const CALLED = `
  variable "words" { type = list(string) }
  variable "secret" { default = "none" }
  resource "terraform_data" "it" {
    input = join(" ", var.words)
  }
  output "said" { value = terraform_data.it.output }
  output "hidden" {
    value     = var.secret
    sensitive = true
  }
`;

let dir = '';
let server: Server;
let url = '';
/** Whether what is served is there just now. */
let isServed = true;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'described-'));
  const code = join(dir, 'code');
  mkdirSync(code);
  writeFileSync(join(code, 'main.tf'), CALLED);
  const { status } = spawnSync('tar', ['-czf', join(dir, 'net.tar.gz'), '-C', code, '.']);
  if (status !== 0) throw new Error('tar failed');
  server = createServer((request, response) => {
    if (!isServed || request.url?.split('?')[0] !== '/net.tar.gz') return response.writeHead(404).end();
    return response.end(request.method === 'HEAD' ? undefined : readFileSync(join(dir, 'net.tar.gz')));
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/net.tar.gz`;
});
afterAll(async () => {
  rmSync(dir, { recursive: true });
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
});

let at: Bench;
beforeEach(() => {
  isServed = true;
  at = bench({ allowLocalExec: false });
});
afterEach(() => at.close());

async function digestOf(source: unknown): Promise<string> {
  const all = sources({
    artifacts: at.options.artifacts,
    cloud: googleCloud({ project: 'none', endpoint: 'http://127.0.0.1:1', credentials: noCredentials }),
    clock: systemClock,
    random: () => 0,
    generatorUrl: undefined,
    allowPrivate: false,
    workRoot: at.options.workRoot,
    environment: {},
  });
  return (await all.resolve(BundleSource.parse(source), new AbortController().signal)).digest;
}

async function described(source: unknown, more: object = {}): Promise<Work> {
  return workOf(await digestOf(source), { name: 'net', ...more });
}

const CONFIGURATION = {
  variable: { size: { type: 'number', default: 1 } },
  resource: { terraform_data: { a: { input: '$' + '{var.size}' } } },
  output: { size: { value: '$' + '{terraform_data.a.output}' } },
};

describe('a configuration', () => {
  test('has one digest, however it is written, and another where it says another thing (N59)', async () => {
    const { variable, resource, output } = CONFIGURATION;
    const one = await digestOf({ configuration: { variable, resource, output } });
    expect(await digestOf({ configuration: { output, resource, variable } })).toBe(one);
    expect(await digestOf({ configuration: { resource, output } })).not.toBe(one);
  });

  test.skipIf(missing)('becomes resources, is changed by its variables, and goes (N59)', async () => {
    const source = { configuration: CONFIGURATION };
    const work = await described(source);
    const planned = await at.plan(work);
    expect(planned.resources).toEqual([
      { address: 'terraform_data.a', type: 'terraform_data', action: 'create' },
    ]);
    expect(await at.apply(work, planned.change)).toMatchObject({ status: 'done', outputs: { size: '1' } });
    const larger = await described(source, { variables: { size: 2 } });
    expect(await at.up(larger)).toMatchObject({ status: 'done', outputs: { size: '2' } });
    expect(await at.destroy(larger)).toMatchObject({ status: 'done' });
  });

  test.skipIf(missing)('is held to what brought code is held to (N59)', async () => {
    const running = {
      resource: { terraform_data: { a: { provisioner: { 'local-exec': { command: 'id' } } } } },
    };
    await expect(at.plan(await described({ configuration: running }))).rejects.toThrow(
      'main.tf.json has a provisioner "local-exec"',
    );
    const asking = { data: { external: { a: { program: ['id'] } } } };
    await expect(at.plan(await described({ configuration: asking }))).rejects.toThrow('data "external"');
    const strange = await described({ configuration: CONFIGURATION }, { variables: { sise: 1 } });
    await expect(at.plan(strange)).rejects.toThrow('declares no variable sise');
  });

  test.skipIf(missing)('that is wrong is refused in the words of the tool (N59)', async () => {
    const work = await described({ configuration: { resource: { terraform_data: { a: { colour: 1 } } } } });
    await expect(at.plan(work)).rejects.toThrow(/colour.*main\.tf\.json/);
  });
});

describe.skipIf(missing)('a module that is called', () => {
  test('is fetched, gets the variables, and hands its outputs on, sensitive ones unseen (N59)', async () => {
    const work = await described(
      {
        module: { source: url },
        variables: ['words', 'secret'],
        outputs: ['said', { name: 'hidden', sensitive: true }],
      },
      { variables: { words: ['a', 'b'], secret: 'open-sesame' } },
    );
    const planned = await at.plan(work);
    expect(planned.resources?.map(({ address }) => address)).toEqual(['module.main.terraform_data.it']);
    const outcome = await at.apply(work, planned.change);
    expect(outcome).toMatchObject({ status: 'done', outputs: { said: 'a b' } });
    expect(JSON.stringify([outcome, at.lines])).not.toContain('open-sesame');
    // What is there stays, with whoever kept it gone.
    expect(await at.destroy(work)).toMatchObject({ status: 'done' });
  });

  test('that is not where it was said to be: in the words of the tool (N59)', async () => {
    isServed = false;
    const work = await described({ module: { source: url } });
    await expect(at.plan(work)).rejects.toThrow(/Failed to download module.*404/);
  });

  test('without what it needs, and with what it does not know: in the words of the tool (N59)', async () => {
    await expect(at.plan(await described({ module: { source: url } }))).rejects.toThrow(
      /"words" is required/,
    );
    const words = { variables: { words: [] } };
    const more = { module: { source: url }, variables: ['words', 'colour'] };
    const given = { variables: { words: [], colour: 1 } };
    await expect(at.plan(await described(more, given))).rejects.toThrow(/named "colour"/);
    const less = { module: { source: url }, variables: ['words'], outputs: ['nothing'] };
    await expect(at.plan(await described(less, words))).rejects.toThrow(/"nothing"/);
  });
});
