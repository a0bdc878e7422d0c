/** Images of all services, side by side: those whose content is in the registry already are not built again. */

import { join, resolve } from 'node:path';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import { infrastructureNames, infrastructureUnits } from '@service-director/shared/engine/infrastructure.ts';
import { emailOf } from '@service-director/shared/model/grant.ts';
import {
  type HydratedDeployment,
  type HydratedService,
  resourcesFileOf,
} from '@service-director/shared/model/hydrate.ts';
import { stringify } from 'yaml';
import type { Builder } from '../builders/builder.ts';
import { digestOf } from '../builders/registry.ts';
import { readSource, type Source } from '../builders/source.ts';
import { dataflowsOf, type RunContext } from '../context.ts';
import type { Phase } from '../event.ts';
import { Failure } from '../failure.ts';
import type { World } from './preflight.ts';
import { bring } from './units.ts';

/** By service: with digest. */
export type Images = Readonly<Record<string, string>>;

/** Where builds come from and go to: the staging bucket, the repositories, the topics. Everything but the director itself. */
export async function foundation(world: World, phase: Phase, context: RunContext): Promise<void> {
  const units = infrastructureUnits(context.architecture, world);
  await bring(
    units.filter(({ stage }) => stage === 'setup'),
    phase,
    context,
  );
}

/** Builds what is not in the registry. One that fails does not stop the others; then all failures are told together. */
export async function buildAll(builder: Builder, context: RunContext): Promise<Images> {
  const services = builtServices(context);
  const results = await Promise.allSettled(
    services.map(async (service) => [service.name, await buildOne(service, builder, context)] as const),
  );
  const failures = results.flatMap((result) =>
    result.status === 'rejected' ? [Failure.from(result.reason, 'a build')] : [],
  );
  if (failures.length > 0) throw Failure.ofAll(failures);
  return Object.fromEntries(
    results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])),
  );
}

/** The images of the present sources, looked up in the registry; those that are not there are named in a Failure. */
export async function findImages(context: RunContext): Promise<Images> {
  const { images, missing } = await lookUpImages(context);
  if (missing.length === 0) return images;
  throw new Failure(`There is no image of ${missing.join(', ')} for the source as it is`, {
    fix: 'run conductor up --only build first',
  });
}

/** The same, with the services whose image would have to be built. */
export async function lookUpImages(context: RunContext): Promise<{ images: Images; missing: string[] }> {
  const looked = await Promise.all(
    builtServices(context).map(async (service) => {
      const { name, deployment } = service;
      const image = await imageOf({ name, deployment, source: sourceOf(service, context) }, context);
      return [name, image] as const;
    }),
  );
  return {
    images: Object.fromEntries(
      looked.flatMap(([name, image]) => (image === undefined ? [] : [[name, image]])),
    ),
    missing: looked.flatMap(([name, image]) => (image === undefined ? [name] : [])),
  };
}

/** Undefined where there is none for the source as it is. */
async function imageOf(
  { name, deployment, source }: ToBuild,
  { reach, limit }: RunContext,
): Promise<string | undefined> {
  const looking = limit.run(() => digestOf(deployment, source.tag, reach.cloud));
  const digest = await looking.catch((error) => {
    // Without the API there is no repository either.
    if (CloudError.from(error).reason === 'api-disabled') return undefined;
    throw Failure.from(error, `looking for the image of ${name}`);
  });
  return digest === undefined ? undefined : `${deployment.image}@${digest}`;
}

function builtServices(context: RunContext): HydratedService[] {
  return dataflowsOf(context)
    .flatMap(({ services }) => Object.values(services))
    .filter(({ deployment }) => deployment.source_path !== undefined);
}

function sourceOf(
  { name, deployment }: Pick<HydratedService, 'name' | 'deployment'>,
  { base, architecture }: RunContext,
): Source {
  const resources = resourcesFileOf(architecture.dataflows, name);
  return readSource({
    name,
    folder: resolve(base, deployment.source_path ?? '.'),
    module: deployment.buildable_module_path,
    generated: resources ? { 'resources.yaml': stringify(resources) } : {},
    copies: deployment.config_templates,
  });
}

async function buildOne(service: HydratedService, builder: Builder, context: RunContext): Promise<string> {
  return buildImage(
    { name: service.name, deployment: service.deployment, source: sourceOf(service, context) },
    'build',
    builder,
    context,
  );
}

/** The director's own image: of the program that came with this conductor, or of the user's own. */
export async function buildDirector(builder: Builder, context: RunContext): Promise<string> {
  const made = directorImage(context);
  return typeof made === 'string' ? made : buildImage(made, 'bootstrap', builder, context);
}

/** The director's image where it need not be built any more. */
export async function findDirectorImage(context: RunContext): Promise<string | undefined> {
  const made = directorImage(context);
  return typeof made === 'string' ? made : imageOf(made, context);
}

/** Named by its digest, or what to build it from. */
function directorImage(context: RunContext): string | ToBuild {
  const { director } = context.architecture;
  const { deployment, name } = director;
  if (deployment.source_path === undefined && deployment.image.includes('@sha256:')) return deployment.image;
  const shipped = { name, folder: context.directorSource, module: '.', generated: {}, copies: {} };
  const source = deployment.source_path === undefined ? readSource(shipped) : sourceOf(director, context);
  return { name, deployment, source };
}

interface ToBuild {
  readonly name: string;
  readonly deployment: HydratedDeployment;
  readonly source: Source;
}

async function buildImage(
  { name, deployment, source }: ToBuild,
  phase: Phase,
  builder: Builder,
  context: RunContext,
): Promise<string> {
  const { emit, clock, architecture, limit } = context;
  const task = `image/${name}`;
  const names = infrastructureNames(architecture);
  const started = clock.now();
  emit({ type: 'task-started', phase, task, what: source.tag });
  try {
    const before = await digestOf(deployment, source.tag, context.reach.cloud);
    const digest =
      before ??
      (await limit.run(() =>
        builder(
          {
            name,
            deployment,
            source,
            account: emailOf(names.builder, architecture.project_id),
            staging: names.staging,
            onLine: (line) => emit({ type: 'task-output', phase, task, line }),
            waiting: (because) => emit({ type: 'task-waiting', phase, task, because }),
          },
          context,
        ),
      ));
    emit({
      type: 'task-finished',
      phase,
      task,
      result: before ? 'reused' : 'built',
      seconds: (clock.now() - started) / 1000,
    });
    return `${deployment.image}@${digest}`;
  } catch (error) {
    const failure = context.signal.aborted ? error : Failure.from(error, `the image of ${name}`);
    const because = failure instanceof Error ? failure.message : String(failure);
    emit({
      type: 'task-finished',
      phase,
      task,
      result: 'failed',
      seconds: (clock.now() - started) / 1000,
      because,
    });
    throw failure;
  }
}

/** The folder of the director's program, beside the conductor's own. */
export function bundledDirector(conductorFolder: string): string {
  return join(conductorFolder, '..', '..', 'director', 'dist');
}
