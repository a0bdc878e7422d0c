/** What a developer begins with: a file of settings, and one command. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { readConfig } from '@service-director/director/config.ts';
import { expect, test, vi } from 'vitest';
import { until } from './support/world.ts';

vi.setConfig({ testTimeout: 180_000 });

const root = resolve(import.meta.dirname, '../..');
const example = readFileSync(join(root, '.env.example'), 'utf8');

test('is up, with a local cloud of its own, and ends with it (D173)', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'dev-'));
  const child = spawn(process.execPath, [join(root, 'scripts/dev.ts'), '--dir', dir], {
    env: { PATH: process.env.PATH ?? '', HOME: dir, PORT: '0' },
  });
  const gone = once(child, 'exit');
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  try {
    const port = await until(() => {
      const found = /"message":"the director is up","port":(\d+)/.exec(output)?.[1];
      if (found === undefined) throw new Error(`It is not up: ${output}`);
      return found;
    });
    await until(async () => expect((await fetch(`http://127.0.0.1:${port}/ready`)).status).toBe(200));
    const cloud = JSON.parse(readFileSync(join(dir, 'cloud.json'), 'utf8'));
    child.kill('SIGTERM');
    await gone;
    for (const url of [`http://127.0.0.1:${port}/health`, cloud.origin])
      await until(() => expect(fetch(url)).rejects.toThrow());
  } finally {
    child.kill('SIGTERM');
    await gone;
    rmSync(dir, { recursive: true, force: true });
  }
});

test('each setting is in .env.example, and what stands there is what holds (D173)', () => {
  const source = readFileSync(join(root, 'director/src/config.ts'), 'utf8');
  const schema = source.slice(source.indexOf('const Environment'), source.indexOf('export interface Config'));
  const settings = [...schema.matchAll(/^ {2}([A-Z][A-Z_]+):/gm)].map(([, name]) => name);
  expect(settings.length).toBeGreaterThan(30);
  const written = parseEnv(example.replaceAll(/^#(?=[A-Z][A-Z_]+=)/gm, ''));
  // Cloud Run sets those itself.
  const theirs = ['K_SERVICE', 'K_REVISION'];
  expect(settings.filter((name = '') => !(name in written) && !theirs.includes(name))).toEqual([]);
  const needed = { PROJECT_ID: 'a-project', DIRECTOR_AUDIENCE: 'https://director' };
  const { TERRAFORM_BACKENDS, AWS_REGION, ...plain } = written;
  expect(readConfig({ ...plain, ...needed })).toEqual(readConfig(needed));
  expect(readConfig({ TERRAFORM_BACKENDS, ...needed }).terraform.backends).toBeDefined();
  // Copied as it is, it says nothing.
  expect(parseEnv(example)).toEqual({});
  expect(AWS_REGION).toBeDefined();
});
