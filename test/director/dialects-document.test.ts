/** What the dialects serve and what the OpenAPI document tells of them, held against each other. */
import { architectures } from '@service-director/director/deployments/architectures.ts';
import { type Dialects, dialects } from '@service-director/director/dialects/index.ts';
import { readsOf } from '@service-director/director/http/reads.ts';
import type { Route } from '@service-director/shared/contract/rest/route.ts';
import { ROUTES } from '@service-director/shared/contract/rest.ts';
import { systemClock, systemRandom } from '@service-director/shared/kit/clock.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ground, openGround } from './support/dialects.ts';
import { paperEngine } from './support/paper-engine.ts';
import { codeKeptAs } from './support/rest.ts';
import { PROJECT, REGION } from './support/world.ts';

let ground: Ground;
let spoken: Dialects;

beforeAll(async () => {
  ground = await openGround({ engine: paperEngine, sources: () => codeKeptAs('a'.repeat(64)) });
  spoken = dialects({
    ...{ ...ground, clock: systemClock, project: PROJECT, region: REGION, timeoutSeconds: 600 },
    reads: readsOf({ store: ground.store, clock: systemClock, random: systemRandom, onTrouble() {} }),
    blueprints: architectures,
    engines: {},
    readiness: () => ({ ready: true, problems: {} }),
  });
});
afterAll(async () => {
  await spoken.stop();
  await ground.stop();
});

/** `post /api/v1/deployments/{id}`, of all that a router answers to. */
function servedBy({ stack }: Dialects['routes'][number]): string[] {
  return stack.flatMap(({ route }) => {
    const paths: string[] = [route?.path ?? []].flat();
    const methods = new Set(route?.stack.map(({ method }) => method));
    return paths.flatMap((path) =>
      [...methods].map((method) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`),
    );
  });
}

const TAGS: readonly Route['tag'][] = ['graphs', 'blueprints', 'builds', 'gates'];
const told = Object.values<Route>(ROUTES)
  .filter(({ tag, path }) => TAGS.includes(tag) || path === ROUTES.getVersions.path)
  .map(({ method, path }) => `${method} ${path}`);

test('the document tells of every route that a dialect serves, and of no other (N29)', () => {
  const served = spoken.routes.flatMap(servedBy);
  expect(served.length).toBeGreaterThan(35);
  expect(served.toSorted()).toEqual(told.toSorted());
});
