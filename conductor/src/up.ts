/**
 * Stands an architecture up.
 *
 *   preflight → identities ─┬→ build (all images) ───────────────────────────┬→ deploy → verify-services
 *                           └→ bootstrap (the director) → setup → verify-grants ┘
 *
 * Each phase finds its inputs in the world, not in the memory of the run before: any can be run alone, and a
 * run that failed is simply run again.
 */
import type { TerminalEvent } from '@service-director/shared/contract/event.ts';
import { both } from './both.ts';
import type { Builder } from './builders/builder.ts';
import { cloudBuild } from './builders/cloud-build.ts';
import { dataflowsOf, type RunContext } from './context.ts';
import { directorClient } from './director-client.ts';
import type { AnyPhase, Phase, Summary } from './event.ts';
import { Failure } from './failure.ts';
import { failedServices } from './last-lines.ts';
import { bootstrap, demandNoneElsewhere, findDirector, locateDirector } from './phases/bootstrap.ts';
import { buildAll, findImages, foundation, type Images } from './phases/build.ts';
import { commandAll } from './phases/command.ts';
import { identities } from './phases/identities.ts';
import { findWorld, preflight } from './phases/preflight.ts';
import { verifyGrants, verifyServices } from './phases/verify.ts';
import { forgottenNotes } from './stacks.ts';

export interface UpOptions {
  /** Only these phases; all by default. */
  readonly only?: readonly Phase[];
  readonly skip?: readonly Phase[];
  readonly builder?: Builder;
}

export interface UpResult {
  readonly directorUrl: string;
  readonly summary: Summary;
}

export async function up(context: RunContext, options: UpOptions = {}): Promise<UpResult> {
  const failed = failedServices();
  const emit: RunContext['emit'] = (event) => {
    failed.see(event);
    context.emit(event);
  };
  try {
    return await standUp({ ...context, emit }, options);
  } catch (error) {
    await failed.tell(context);
    throw error;
  }
}

async function standUp(context: RunContext, options: UpOptions): Promise<UpResult> {
  const runs = (phase: Phase): boolean =>
    (options.only === undefined || options.only.includes(phase)) && !options.skip?.includes(phase);
  const phase = <T>(name: Phase, work: () => Promise<T>): Promise<T> => inPhase(name, work, context);
  const builder = options.builder ?? cloudBuild;
  const answers: Completed[] = [];
  const client = once(() => directorClient(() => locateDirector(context), context));

  const world = await findWorld(context);
  // Known by the time that anything is made in a region.
  const alone = runs('bootstrap') ? demandNoneElsewhere(context) : Promise.resolve();
  alone.catch(() => {});
  if (runs('preflight')) await phase('preflight', () => preflight(world, context));
  if (runs('identities')) await phase('identities', () => identities(world, context));
  await alone;

  /** What both branches stand on, made once. */
  const ground = once(() => foundation(world, runs('build') ? 'build' : 'bootstrap', context));
  const directorUrl = once(async () => {
    if (context.directorUrl !== undefined || !runs('bootstrap')) return findDirector(context);
    return phase('bootstrap', () => bootstrap(world, ground(), builder, context));
  });
  const command = (
    type: 'dataflow-setup' | 'deploy',
    name: 'setup' | 'deploy',
    more: (dataflow: string) => object,
  ) =>
    phase(name, async () => {
      const url = await directorUrl();
      answers.push(
        ...(await commandAll({ type, phase: name, client: await client(), directorUrl: url, more }, context)),
      );
    });

  const needsUrl = runs('bootstrap') || runs('setup') || runs('deploy');

  async function build(): Promise<Images | undefined> {
    if (!runs('build')) return undefined;
    return phase('build', async () => {
      await ground();
      return buildAll(builder, context);
    });
  }

  async function setUp(): Promise<void> {
    if (needsUrl) await directorUrl();
    if (runs('setup')) await command('dataflow-setup', 'setup', () => ({}));
    if (runs('verify-grants')) await phase('verify-grants', () => verifyGrants(world, context));
  }

  try {
    const [built] = await both(build(), setUp());
    if (runs('deploy')) {
      const images = built ?? (await findImages(context));
      await command('deploy', 'deploy', (dataflow) => ({ images: imagesOf(dataflow, images, context) }));
    }
    // Asked beside what takes longer.
    const notes = needsUrl ? forgottenNotes(await directorUrl(), context) : Promise.resolve([]);
    notes.catch(() => {});
    const urls = runs('verify-services') ? await phase('verify-services', () => verifyServices(context)) : {};
    for (const message of await notes) context.emit({ type: 'note', message });
    return { directorUrl: needsUrl ? await directorUrl() : '', summary: summarize(answers, urls, context) };
  } finally {
    // Nothing of the end may take the place of the failure that led to it.
    if (client.made())
      await client()
        .then((made) => made.close())
        .catch(() => {});
  }
}

function imagesOf(name: string, images: Images, context: RunContext): Images {
  const dataflow = dataflowsOf(context).find((one) => one.name === name);
  const entries = Object.values(dataflow?.services ?? {}).map(
    ({ name: service, deployment }): [string, string] => {
      const image = images[service] ?? deployment.image;
      if (image.includes('@sha256:')) return [service, image];
      throw new Failure(`The image of ${service}, ${image}, is not named by its digest`, {
        fix: `write it as ${image.split(':')[0]}@sha256:…; gcloud artifacts docker images describe shows the digest`,
      });
    },
  );
  return Object.fromEntries(entries);
}

type Completed = Extract<TerminalEvent, { type: 'completed' }>;

export function summarize(
  answers: readonly Completed[],
  urls: Readonly<Record<string, string>>,
  { tally }: Pick<RunContext, 'tally'>,
): Summary {
  const deployments = answers.flatMap((answer) => answer.deployments);
  const units = deployments.flatMap((deployment) => deployment.units);
  // What one dataflow left to another that used it too, the other may have removed meanwhile.
  const deleted = new Set(units.flatMap(({ unit, result }) => (result === 'deleted' ? [unit] : [])));
  const count = (...results: string[]): number =>
    units.filter(({ result }) => results.includes(result)).length;
  return {
    created: tally.created + count('created'),
    updated: tally.updated + count('updated', 'replaced'),
    deleted: tally.deleted + count('deleted'),
    unchanged: deployments.reduce((sum, { plan }) => sum + (plan?.unchanged ?? 0), 0),
    kept: units.flatMap(({ unit, result, because }) =>
      result === 'kept' && !deleted.has(unit) ? [{ unit, because: because ?? '' }] : [],
    ),
    urls: { ...Object.assign({}, ...deployments.map((deployment) => deployment.urls)), ...urls },
  };
}

export async function inPhase<T>(
  phase: AnyPhase,
  work: () => Promise<T>,
  { emit, clock }: Pick<RunContext, 'emit' | 'clock'>,
): Promise<T> {
  const started = clock.now();
  const seconds = (): number => (clock.now() - started) / 1000;
  emit({ type: 'phase-started', phase });
  try {
    const value = await work();
    emit({ type: 'phase-finished', phase, status: 'done', seconds: seconds() });
    return value;
  } catch (error) {
    const because = error instanceof Error ? error.message : String(error);
    emit({ type: 'phase-finished', phase, status: 'failed', seconds: seconds(), because });
    throw error;
  }
}

/** Computed when first asked for; `made` tells whether it was. */
function once<T>(make: () => T): (() => T) & { made(): boolean } {
  let made: { readonly value: T } | undefined;
  const get = (): T => {
    made ??= { value: make() };
    return made.value;
  };
  return Object.assign(get, { made: () => made !== undefined });
}
