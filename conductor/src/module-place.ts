/** Where the director of a single module is, and the architecture that is made around the module for it. */
import { randomBytes } from 'node:crypto';
import { systemClock, systemRandom } from '@service-director/shared/kit/clock.ts';
import { limiter } from '@service-director/shared/kit/limiter.ts';
import { Architecture, type Module } from '@service-director/shared/model/architecture.ts';
import { hydrate, UnknownEnvironment } from '@service-director/shared/model/hydrate.ts';
import type { RunContext } from './context.ts';
import { EXIT, Failure } from './failure.ts';
import { loadArchitecture } from './load.ts';
import { demandLocalCloud, type LocalCloudFile, localLook } from './local.ts';
import { onlyDirectorOn } from './local-director.ts';
import type { ConductorOptions } from './open.ts';
import { reachCloud } from './reach.ts';

/** As an architecture says; or, where there is none, as was typed, and else as can be found out. */
export type Where =
  | { readonly architecture: string }
  | { readonly project: string | undefined; readonly region: string | undefined };

export interface ModuleWanted {
  readonly engine: Module['engine'];
  /** The folder with the code, relative to `cwd`. */
  readonly folder: string;
  /** Of the module, and of the architecture that is made around it. */
  readonly name: string;
  readonly variables: Module['variables'];
  readonly where: Where;
}

/** The only dataflow of every architecture that is made here. */
export const DATAFLOW = 'module';

/** Nothing is started and nothing made. Throws a Failure where no local cloud runs, or what was typed cannot be. */
export async function openModule(options: ConductorOptions, wanted: ModuleWanted): Promise<RunContext> {
  const { environment, cwd = process.cwd() } = options;
  const cloud = options.local && demandLocalCloud(options.local.dir);
  const { where } = wanted;
  const around =
    'architecture' in where
      ? aroundOf(where.architecture, environment, cwd)
      : await madeUp(where, cloud, options);
  const document = documentOf(around, wanted, environment);
  const architecture = hydrate(document, { environment });
  const local = options.local && cloud ? localLook(options.local.dir, cloud) : undefined;
  const endpoint = cloud?.origin ?? options.endpoint;
  return {
    run: `deploy-${randomBytes(6).toString('hex')}`,
    reach: reachCloud({ project: architecture.project_id, endpoint, local }),
    architecture,
    document,
    environment,
    base: cwd,
    // Nothing is built.
    directorSource: '',
    builder: 'cloud-build',
    dataflow: DATAFLOW,
    directorUrl: options.directorUrl,
    wishes: options.wishes ?? {},
    timeoutSeconds: options.timeoutSeconds ?? 1_800,
    clock: systemClock,
    random: systemRandom,
    signal: options.signal ?? new AbortController().signal,
    limit: limiter(options.concurrency ?? 16),
    tally: { created: 0, updated: 0, deleted: 0 },
    emit: options.onEvent ?? (() => {}),
  };
}

function documentOf(
  around: object,
  { name, engine, folder: source, variables }: ModuleWanted,
  environment: string | undefined,
): Architecture {
  const read = Architecture.safeParse({
    ...around,
    name,
    dataflows: {
      [DATAFLOW]: {
        // Who destroys it means it.
        lifecycle: { strategy: 'ephemeral' },
        modules: { [name]: { engine, source, variables } },
      },
    },
    ...(environment === undefined ? {} : { deployment_environments: { [environment]: {} } }),
  });
  if (read.success) return read.data;
  throw new Failure([...new Set(read.error.issues.map(({ message }) => message))].join('\n'), {
    exitCode: EXIT.usage,
    fix: 'see conductor deploy --help',
  });
}

/** As the architecture has it in that environment: the project, the region, the director, who approves. */
function aroundOf(file: string, environment: string | undefined, cwd: string): object {
  const { architecture: document } = loadArchitecture(file, cwd, { sources: false });
  try {
    const { project_id, region, approval } = hydrate(document, { environment });
    const gate = approval === undefined ? {} : { approval };
    return { project_id, region, ...gate, director: document.director };
  } catch (error) {
    if (error instanceof UnknownEnvironment) throw new Failure(error.message, { exitCode: EXIT.usage });
    throw error;
  }
}

type Typed = Extract<Where, { readonly project: unknown }>;

async function madeUp(
  { project, region }: Typed,
  cloud: LocalCloudFile | undefined,
  { directorUrl }: ConductorOptions,
): Promise<object> {
  const isSaid = project !== undefined || directorUrl !== undefined;
  const found = cloud && !isSaid ? await onlyDirectorOn(cloud, WHICH) : undefined;
  const project_id = project ?? found?.project ?? cloud?.project ?? (directorUrl && UNSAID_PROJECT);
  const director = found === undefined ? {} : { director: { name: found.name } };
  if (project_id !== undefined)
    return { project_id, region: region ?? found?.region ?? STANDARD_REGION, ...director };
  throw new Failure('In which project is not said', {
    exitCode: EXIT.usage,
    fix: 'name it with --project, a director that runs with --director-url, or the architecture that it came with: conductor deploy DIR [FILE]',
  });
}

const WHICH = 'say with --project which one is meant, or name its architecture: conductor deploy DIR [FILE]';

const STANDARD_REGION = 'us-central1';

/** A director at its URL knows its own project, and a module's code says what it is about: nothing is looked for by this. */
const UNSAID_PROJECT = 'project-not-said';
