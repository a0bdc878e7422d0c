/** Of the director as it is shipped: code that it is sent is noted as wanted, so that the upkeep knows when it was. */
import { pack } from '@service-director/director/bundles/bundle.ts';
import { useKey } from '@service-director/director/bundles/uses.ts';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
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
  const bundle = await pack([{ path: 'main.tf', content: Buffer.from('# code') }]);
  const before = systemClock.now();
  const response = await fetch(`${director.url}/v1/bundles`, {
    method: 'POST',
    body: new Uint8Array(bundle),
  });
  expect(response.status).toBe(201);
  const { digest }: { digest: string } = JSON.parse(await response.text());
  expect(await director.stop()).toBe(0);
  const store = sqliteStore({ path: stateFile(world) });
  const noted = await store.get<{ at: string }>(useKey(digest));
  await store.close();
  expect(Date.parse(noted?.value.at ?? '')).toBeGreaterThanOrEqual(before);
});
