/** What the tests of the REST APIs do again and again. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Sources, sources } from '@service-director/director/bundles/sources.ts';
import { engines } from '@service-director/director/engines/index.ts';
import { PROBLEM_PREFIX } from '@service-director/shared/contract/rest/schemas.ts';
import { enginesOf } from '@service-director/shared/engine/engines.ts';
import { systemClock, systemRandom } from '@service-director/shared/kit/clock.ts';
import { expect } from 'vitest';
import { type Answered, type Door, type Ground, openGround } from './dialects.ts';
import { type DirectorOptions, type DirectorProcess, startDirector } from './director.ts';
import { documentOf, ephemeral } from './documents.ts';
import type { NativeAnswer, NativeDirector } from './native.ts';
import { paperEngine } from './paper-engine.ts';
import { openWorld, until, type World } from './world.ts';

/** A director that takes commands, in a world of its own; when that stops, both are gone. */
export async function openDirector(
  optionsIn: (world: World) => DirectorOptions = () => ({}),
): Promise<{ readonly world: World; readonly director: DirectorProcess }> {
  const world = await openWorld();
  try {
    const director = await startDirector(world, optionsIn(world));
    await director.ready();
    return { world, director };
  } catch (error) {
    await world.stop();
    throw error;
  }
}

/** Resolves with what is there, once it has that status. */
export function seenAs(door: Door, path: string, status: string): Promise<Answered['body']> {
  return until(async () => {
    const { body } = await door.ask('GET', path);
    if (body.status !== status) throw new Error(`${path} is ${JSON.stringify(body)}`);
    return body;
  });
}

/** Code that is there already, whatever it is asked for by. */
export function codeKeptAs(digest: string): Sources {
  return { resolve: async (source) => ({ digest: 'digest' in source ? source.digest : digest }) };
}

const hasTerraform = spawnSync('terraform', ['version'], { stdio: 'ignore' }).status === 0;

/** Empty where Terraform can be used; else what a title ends with. */
export const NO_TERRAFORM = hasTerraform ? '' : ' (skipped: Terraform is not on the PATH)';

/** Where modules are carried out by the real Terraform; `endpoint` is that of the cloud that code comes from. */
export function openTerraformGround(endpoint?: string): Promise<Ground> {
  return openGround({
    ...(endpoint === undefined ? {} : { endpoint }),
    engine: (artifacts, dir) =>
      enginesOf(paperEngine(), {
        terraform: () => {
          mkdirSync(join(dir, 'work'), { recursive: true });
          return engines.terraform({
            ...{ binary: 'terraform', workRoot: join(dir, 'work'), artifacts, clock: systemClock },
            environment: { PATH: process.env.PATH ?? '' },
            allowLocalExec: false,
            graceMs: 5_000,
          });
        },
      }),
    sources: (artifacts, dir, cloud) =>
      sources({
        ...{ artifacts, cloud, clock: systemClock, random: systemRandom, workRoot: dir },
        ...{ generatorUrl: undefined, allowPrivate: false, environment: {} },
      }),
  });
}

/** What a refusal looks like. */
export function isProblem(status: number, slug: string, more: object = {}): object {
  const common = { title: expect.any(String), status, detail: expect.any(String) };
  return {
    status,
    type: expect.stringContaining('application/problem+json'),
    body: { type: PROBLEM_PREFIX + slug, ...common, ...more },
  };
}

/** Sets a dataflow up, as far as that goes without a director: it waits in the queue. */
export function setUp(
  director: NativeDirector,
  architecture: string,
  id: string,
  more: object = {},
): Promise<NativeAnswer> {
  const flow = ephemeral({ resources: { topics: [{ name: `${architecture}-topic` }] } });
  const document = documentOf(architecture, { flow });
  return director.post(
    '/v1/commands/dataflow-setup',
    { architecture: { document }, ...more },
    { 'idempotency-key': id, correlationid: `run-of-${architecture}` },
  );
}

/** The ids of each page, in order. */
export async function pages(
  director: NativeDirector,
  path: string,
  field: string,
  query: string,
): Promise<string[][]> {
  const all: string[][] = [];
  let next: string | undefined;
  do {
    const more: string = next === undefined ? '' : `&cursor=${next}`;
    const { status, body } = await director.get(`${path}?${query}${more}`);
    expect(status).toBe(200);
    all.push(body[field].map(({ id, stack }: { id?: string; stack?: string }) => id ?? stack));
    next = body.next;
  } while (next !== undefined);
  return all;
}
