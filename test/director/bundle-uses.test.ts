/** Of the director as it is shipped: code that it is sent is noted as wanted, so that the upkeep knows when it was. */
import { useKey } from '@service-director/director/bundles/uses.ts';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { bring } from './support/code.ts';
import { startDirector, stateFile } from './support/director.ts';
import { openWorld, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

test('a bundle that is sent is noted as wanted, before it is kept', async () => {
  const director = await startDirector(world);
  await director.ready();
  const before = systemClock.now();
  const digest = await bring(director, '# code');
  expect(await director.stop()).toBe(0);
  const store = sqliteStore({ path: stateFile(world) });
  const noted = await store.get<{ at: string }>(useKey(digest));
  await store.close();
  expect(Date.parse(noted?.value.at ?? '')).toBeGreaterThanOrEqual(before);
});
