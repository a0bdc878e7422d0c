/** The director: built, deployed, and waited for until it takes commands. */

import { CloudError, found } from '@service-director/shared/cloud/error.ts';
import { infrastructureUnits } from '@service-director/shared/engine/infrastructure.ts';
import { type Unit, unitId } from '@service-director/shared/model/unit.ts';
import { ownerLabels } from '@service-director/shared/resources/mark.ts';
import { both } from '../both.ts';
import type { Builder } from '../builders/builder.ts';
import type { RunContext } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { tellLastLines } from '../last-lines.ts';
import { buildDirector } from './build.ts';
import type { World } from './preflight.ts';
import { bring } from './units.ts';

/** How long a director may take from its start to its first command. Milliseconds; grants of its own may have to propagate. */
const READY_MS = 10 * 60_000;
/** For so long nobody is behind its address: it ends at its start, again and again. Milliseconds. */
const CRASHED_MS = 30_000;

/** The director's URL. */
export async function bootstrap(
  world: World,
  foundation: Promise<void>,
  builder: Builder,
  context: RunContext,
): Promise<string> {
  await foundation;
  const [directorImage] = await both(
    buildDirector(builder, context),
    // The database of its state, beside what takes longer.
    bring(deployUnits(world, undefined, context), 'bootstrap', context),
  );
  const outcomes = await bring(deployUnits(world, directorImage, context), 'bootstrap', context);
  const outcome = outcomes.get(unitId('service', context.architecture.director.name));
  const url = outcome?.status === 'done' ? outcome.outputs.uri : undefined;
  if (!url) throw new Failure('The director was deployed and has no URL', { exitCode: EXIT.unreachable });
  await awaitReady(url, context);
  return url;
}

/** The director and what is made with it; without an image, only what is made with it. */
function deployUnits(world: World, directorImage: string | undefined, { architecture }: RunContext): Unit[] {
  const units = infrastructureUnits(architecture, { ...world, directorImage });
  return units.filter(({ stage }) => stage === 'deploy');
}

/** The URL of the director that is there, or that the user named. */
export async function findDirector(context: RunContext): Promise<string> {
  const url = await locateDirector(context);
  if (url !== undefined) return url;
  await demandNoneElsewhere(context);
  throw noDirector(context);
}

export function noDirector({ architecture: { director, project_id } }: RunContext): Failure {
  return new Failure(`There is no director ${director.name} in ${project_id}`, {
    exitCode: EXIT.unreachable,
    fix: 'run conductor up',
  });
}

/** A second director, in another region, would take the commands that are meant for the first. Throws a Failure when there is one. */
export async function demandNoneElsewhere(context: RunContext): Promise<void> {
  if (context.directorUrl !== undefined) return;
  const { director, project_id } = context.architecture;
  const regions = await regionsOfDirector(context);
  const elsewhere = regions.filter((region) => region !== director.deployment.region);
  if (elsewhere.length === 0) return;
  const others = elsewhere.join(', ');
  throw new Failure(
    `The director ${director.name} of ${project_id} runs in ${others} already, not in ${director.deployment.region}`,
    {
      fix: `set director.deployment.region to ${others}, or give this director another name and topic_prefix`,
    },
  );
}

/** Where services bear the mark of this director's own. */
async function regionsOfDirector({ reach, architecture }: RunContext): Promise<string[]> {
  const { director, project_id } = architecture;
  const owner = { scope: director.name, dataflow: director.infrastructure };
  const marks = Object.entries(ownerLabels(owner)).map(([name, value]) => `${name}=${value}`);
  const run = await reach.runEverywhere();
  const asked = { parent: `projects/${project_id}/locations/-`, labelSelector: marks.join(',') };
  try {
    const { data } = await run.projects.locations.services.list(asked);
    return (data.items ?? []).flatMap(({ metadata }) => {
      const region = metadata?.labels?.[REGION_LABEL];
      return metadata?.name === director.name && region ? [region] : [];
    });
  } catch (error) {
    if (isOff(error)) return [];
    throw Failure.from(error, 'looking for the director in all regions');
  }
}

/** Cloud Run's own, on what its older API shows. */
const REGION_LABEL = 'cloud.googleapis.com/location';

/** Where the whole API is off, nothing of it is there. */
function isOff(error: unknown): boolean {
  return CloudError.from(error).reason === 'api-disabled';
}

/** Undefined when there is none. */
export async function locateDirector(context: RunContext): Promise<string | undefined> {
  if (context.directorUrl !== undefined) return context.directorUrl;
  const { director, project_id } = context.architecture;
  const run = await context.reach.cloud.run();
  const name = `projects/${project_id}/locations/${director.deployment.region}/services/${director.name}`;
  const live = await found(run.projects.locations.services.get({ name })).catch((error) => {
    if (isOff(error)) return undefined;
    throw Failure.from(error, 'looking for the director');
  });
  return live?.data.uri ?? undefined;
}

/** Ready means that its subscriptions deliver, not that it answers. */
async function awaitReady(url: string, context: RunContext): Promise<void> {
  const { clock, signal, emit, reach } = context;
  const task = 'director';
  const started = clock.now();
  let answered = started;
  let told = '';
  emit({ type: 'task-started', phase: 'bootstrap', task, what: 'wait until it takes commands' });
  for (let wait = 50; ; wait = Math.min(3_000, wait * 1.2)) {
    signal.throwIfAborted();
    const { state, isOwn } = await readiness(url, reach.authorization, signal);
    if (state === 'ready') break;
    if (isOwn) answered = clock.now();
    const hasCrashed = clock.now() - answered > CRASHED_MS;
    if (hasCrashed) await tellLastLines(context.architecture.director.name, context);
    if (hasCrashed || clock.now() - started > READY_MS) {
      throw new Failure(`The director at ${url} does not take commands: ${state}`, {
        exitCode: EXIT.unreachable,
        fix: `${hasCrashed ? 'it seems to end at its start; ' : ''}see conductor director logs`,
      });
    }
    // The first moments are no news.
    if (state !== told && clock.now() - started > 1_000) {
      emit({ type: 'task-waiting', phase: 'bootstrap', task, because: state });
      told = state;
    }
    await clock.sleep(wait, signal);
  }
  emit({
    type: 'task-finished',
    phase: 'bootstrap',
    task,
    result: 'done',
    seconds: (clock.now() - started) / 1000,
  });
}

async function readiness(
  url: string,
  authorization: RunContext['reach']['authorization'],
  signal: AbortSignal,
): Promise<{ state: string; isOwn: boolean }> {
  try {
    const headers = await authorization(url);
    const response = await fetch(`${url}/ready`, {
      headers,
      signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]),
    });
    if (response.status === 200) return { state: 'ready', isOwn: true };
    const body: unknown = await response.json().catch(() => undefined);
    const problems =
      typeof body === 'object' && body !== null && 'problems' in body ? JSON.stringify(body.problems) : '';
    // Who is not let in yet is answered by a front that knows that somebody is there.
    if (problems === '') return { state: `it answers ${response.status}`, isOwn: response.status < 500 };
    return { state: `it is not ready: ${problems}`, isOwn: true };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { state: `it cannot be reached: ${why}`, isOwn: false };
  }
}
