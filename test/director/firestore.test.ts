/** A director whose state is in Firestore: it keeps nothing of its own, and another goes on where it ended. */
import { existsSync } from 'node:fs';
import { firestoreStore } from '@service-director/director/store/firestore.ts';
import { type CommandRecord, keys } from '@service-director/director/store/records.ts';
import { systemClock, systemRandom } from '@service-director/shared/kit/clock.ts';
import { expect, onTestFinished, test, vi } from 'vitest';
import { FIRESTORE, findEmulator, startEmulator } from '../conformance/emulator.ts';
import { startDirector, stateFile } from './support/director.ts';
import { documentOf, pair } from './support/documents.ts';
import { openWorld, PROJECT, until } from './support/world.ts';

vi.setConfig({ testTimeout: 180_000 });

const installed = await findEmulator(FIRESTORE);
if ('missing' in installed)
  process.stdout.write(`No director was run on Firestore's emulator: ${installed.missing}.\n`);

test.skipIf('missing' in installed)('a director goes on where another was killed', async () => {
  if ('missing' in installed) return;
  const emulator = await startEmulator(installed);
  onTestFinished(() => emulator.stop());
  const world = await openWorld();
  onTestFinished(() => world.stop());
  const env = { DIRECTOR_STATE: 'firestore:(default)', FIRESTORE_EMULATOR_HOST: emulator.endpoint };
  const document = documentOf('kept', { flow: pair('kept-', world.images.serves) });

  const first = await startDirector(world, { env });
  await first.ready();
  await world.send('dataflow-setup', 'kept.setup', { architecture: { document } });
  await until(() => expect(world.changes().length).toBeGreaterThan(2));
  await first.kill();
  const second = await startDirector(world, { env });
  expect(await world.recorder.answerTo('kept.setup')).toMatchObject({ type: 'completed' });
  await world.send('deploy', 'kept.deploy', { architecture: { document } });
  expect(await world.recorder.answerTo('kept.deploy')).toMatchObject({ type: 'completed' });
  expect((await second.get('/commands/kept.deploy')).body).toMatchObject({ status: 'succeeded' });

  const store = firestoreStore({
    project: PROJECT,
    database: '(default)',
    root: 'service-director',
    emulator: emulator.endpoint,
    clock: systemClock,
    random: systemRandom,
  });
  onTestFinished(() => store.close());
  expect((await store.get<CommandRecord>(keys.command('kept.setup')))?.value.status).toBe('succeeded');
  expect(existsSync(stateFile(world))).toBe(false);
});
