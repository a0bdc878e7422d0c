import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { type RunningCloud, startLocalCloud } from '@service-director/localcloud';
import { extract } from 'tar-stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Source } from '../builders/source.ts';
import { openLook } from '../open.ts';
import { buildDirector } from './build.ts';

const folder = mkdtempSync(join(tmpdir(), 'build-'));
let running: RunningCloud;

beforeAll(async () => {
  mkdirSync(join(folder, 'captain', 'program'), { recursive: true });
  writeFileSync(join(folder, 'captain', 'program', 'main.js'), 'run()');
  writeFileSync(
    join(folder, 'architecture.yaml'),
    `
name: own
project_id: own-project
region: us-central1
director:
  deployment: { source_path: ./captain, buildable_module_path: program, config_templates: { main.js: copy.js } }
  command_topic: { name: old-commands, lookup: { key: command-topic-id } }
  completion_topic: { name: old-events, lookup: { key: completion-topic-id } }
`,
  );
  running = await startLocalCloud({ dir: join(folder, 'cloud'), project: 'own-project', propagationMs: 0 });
});
afterAll(async () => {
  await running.stop();
  rmSync(folder, { recursive: true });
});

async function unpack(source: Source): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  const tar = extract();
  tar.on('entry', ({ name }, stream, next) => {
    text(stream).then((content) => {
      files[name] = content;
      next();
    }, next);
  });
  await pipeline(source.archive(), createGunzip(), tar);
  return files;
}

test('a director of one’s own source is built as any service is, with the names of its resources beside it (G43)', async () => {
  const context = openLook({ architecture: folder, endpoint: running.origin }, 'look');
  const digest = `sha256:${'0'.repeat(64)}`;
  let files: Record<string, string> = {};
  const image = await buildDirector(async ({ source }) => {
    files = await unpack(source);
    return digest;
  }, context);
  expect(image).toBe(`us-central1-docker.pkg.dev/own-project/service-director/service-director@${digest}`);
  expect(files).toMatchObject({ 'program/main.js': 'run()', 'program/copy.js': 'run()' });
  expect(files['program/resources.yaml']).toMatch(
    /name: old-commands[\s\S]*key: command-topic-id[\s\S]*name: old-events/,
  );
});
