/** What is brought about from here: what cannot be is named in full, and the rest is counted. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningCloud, startLocalCloud } from '@service-director/localcloud';
import { type Unit, unitId } from '@service-director/shared/model/unit.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openLook } from '../open.ts';
import { bring } from './units.ts';

const PROJECT = 'units-local';
const dir = mkdtempSync(join(tmpdir(), 'units-'));
let running: RunningCloud;

beforeAll(async () => {
  running = await startLocalCloud({ dir, project: PROJECT, propagationMs: 0 });
  writeFileSync(join(dir, 'a.yaml'), `name: units\nproject_id: ${PROJECT}\nregion: us-central1\n`);
});

afterAll(async () => {
  await running.stop();
  rmSync(dir, { recursive: true });
});

function topic(name: string): Unit {
  return {
    id: unitId('topic', name),
    engine: 'gcp',
    kind: 'topic',
    owner: { scope: 'units', dataflow: 'flow' },
    stage: 'setup',
    needs: [],
    spec: { name, labels: {}, messageRetentionDuration: '' },
  };
}

test('all that failed is told, and what was made beside it is counted', async () => {
  for (const name of ['one', 'two'])
    await fetch(`${running.origin}/v1/projects/${PROJECT}/topics/${name}`, { method: 'PUT', body: '{}' });
  const context = openLook({ architecture: join(dir, 'a.yaml'), endpoint: running.origin }, 'look');
  const failure = await bring(['one', 'two', 'three'].map(topic), 'setup', context).catch((error) => error);
  expect(failure.message.split('\n')).toEqual([
    expect.stringMatching(/^topic\/one: /),
    expect.stringMatching(/^topic\/two: /),
  ]);
  expect(context.tally).toEqual({ created: 1, updated: 0, deleted: 0 });
});
