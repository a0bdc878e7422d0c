/** Several people, one project: runs of the conductor that begin at the same moment, each a process of its own. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { readLocalCloud, stopLocalCloud } from '@service-director/conductor/local.ts';
import { type Ran, run } from '@service-director/shared/kit/process.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CONDUCTOR } from '../local-cli.ts';
import { worldOf } from './world.ts';

const PROJECT = 'tracer-local';
const EXAMPLES = resolve(import.meta.dirname, '../../examples');

let dir: string;
let cloud: string;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'service-director-beside-'));
  cloud = join(dir, 'cloud');
  cpSync(join(EXAMPLES, 'tracer'), join(dir, 'tracer'), { recursive: true });
});

afterAll(async () => {
  await stopLocalCloud(cloud);
  rmSync(dir, { recursive: true, force: true });
});

const conductor = (...words: string[]): Promise<Ran> =>
  run(
    process.execPath,
    [CONDUCTOR, ...words, join(dir, 'tracer'), '--local', '--local-dir', cloud, '--json'],
    {
      env: { PATH: process.env.PATH ?? '', HOME: dir },
    },
  );

const last = ({ stdout }: Ran): object => JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}');

test('a plan of what is not there at all waits for nothing that only an up would do', async () => {
  const ran = await conductor('plan');
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  expect(ran.stdout).toContain('"unit":"service/service-director","action":"create"');
}, 60_000);

test('ups beside each other, from nothing: they share what each of them makes, and all of them end well', async () => {
  const runs = await Promise.all([conductor('up'), conductor('up'), conductor('up')]);
  for (const ran of runs) {
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    expect(last(ran)).toMatchObject({ type: 'completed', operation: 'up' });
  }
  const { origin = '' } = readLocalCloud(cloud) ?? {};
  const together = await worldOf(origin, PROJECT);
  const alone = await conductor('up');
  expect(last(alone)).toMatchObject({ type: 'completed', changes: 0 });
  expect(await worldOf(origin, PROJECT)).toEqual(together);
}, 400_000);

test('a down beside an up: whichever comes last has its way, and nothing is left half made', async () => {
  const race = [conductor('up', '--timeout', '60s'), conductor('down', '--timeout', '60s')];
  for (const { code, stderr } of await Promise.all(race)) {
    expect([0, 1, 69, 124], stderr).toContain(code);
    // An error is told, not thrown.
    expect(stderr).not.toMatch(/^ {4}at /m);
  }
  // Both may have been cut short by the other; one more decides.
  expect(last(await conductor('up'))).toMatchObject({ type: 'completed' });
  expect(last(await conductor('up'))).toMatchObject({ type: 'completed', changes: 0 });
}, 400_000);
