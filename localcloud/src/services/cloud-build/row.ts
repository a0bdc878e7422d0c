/** A build as it is kept, and what it may ask for. */
import { randomUUID } from 'node:crypto';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError, invalid } from '../../error.ts';
import type { Images } from '../../internal.ts';
import { isObject, type JsonObject } from '../../json.ts';
import { isRegion } from '../locations.ts';
import { readSteps } from './steps.ts';
import { substitute } from './substitutions.ts';

export interface BuildRow {
  readonly id: string;
  /** The project's id. */
  readonly project: string;
  /** A region, or `global`. */
  readonly location: string;
  /** As it was asked for, to be asked for again. */
  readonly request: JsonObject;
  /** `google.devtools.cloudbuild.v1.Build`. */
  readonly build: JsonObject;
}

const HOUR_MS = 3_600_000;
const LONGEST_MS = 24 * HOUR_MS;

/** Checks what a caller asks for and makes a queued build of it; throws INVALID_ARGUMENT. */
export function newBuild(
  cloud: LocalCloud,
  images: Images,
  account: string,
  at: { readonly project: string; readonly location: string },
  request: JsonObject,
): BuildRow {
  const { projectId, number } = cloud.projects.get(at.project);
  if (at.location !== 'global' && !isRegion(at.location)) {
    throw new GoogleError(
      'PERMISSION_DENIED',
      `Permission denied on 'locations/${at.location}' (or it may not exist).`,
    );
  }
  const id = randomUUID();
  const asked = Object.fromEntries(Object.entries(request).filter(([field]) => INPUT.has(field)));
  const build = substitute(asked, {
    PROJECT_ID: projectId,
    PROJECT_NUMBER: number,
    BUILD_ID: id,
    LOCATION: at.location,
  });
  checkSupported(build);
  checkSource(build.source);
  readSteps(build);
  for (const image of imagesOf(build)) images.repositoryOf(image);
  const options = isObject(build.options) ? build.options : {};
  checkLogs(build, options);
  checkTags(build.tags);
  const logging = loggingOf(build, options);
  return {
    id,
    project: projectId,
    location: at.location,
    request: asked,
    build: {
      ...build,
      id,
      name: `projects/${number}/locations/${at.location}/builds/${id}`,
      projectId,
      status: 'QUEUED',
      createTime: timestamp(cloud.clock.now()),
      timeout: `${durationMs(build.timeout, 'timeout') / 1_000}s`,
      queueTtl: `${durationMs(build.queueTtl, 'queue_ttl') / 1_000}s`,
      images: imagesOf(build),
      options: { ...options, logging },
      serviceAccount: `projects/${projectId}/serviceAccounts/${account}`,
      ...(logging === 'NONE' ? {} : { logUrl: `${cloud.origin()}/cloud-build/${projectId}/${id}/log` }),
    },
  };
}

/** What a caller gives; all else is told. */
const INPUT: ReadonlySet<string> = new Set([
  'source',
  'steps',
  'timeout',
  'queueTtl',
  'images',
  'artifacts',
  'logsBucket',
  'options',
  'substitutions',
  'tags',
  'secrets',
  'serviceAccount',
  'availableSecrets',
  'gitConfig',
  'dependencies',
]);

/** In milliseconds. */
export function durationMs(value: unknown, field: 'timeout' | 'queue_ttl'): number {
  if (value === undefined) return HOUR_MS;
  const ms = Number.parseFloat(String(value)) * 1_000;
  if (ms === 0) return HOUR_MS;
  if (ms < 0 || ms > LONGEST_MS) {
    throw invalid(`invalid build: ${field} must be positive, and at most 24 hours`, `build.${field}`);
  }
  return ms;
}

/** Those that are pushed. */
export function imagesOf(build: JsonObject): string[] {
  const artifacts = isObject(build.artifacts) ? build.artifacts.images : undefined;
  const named = [build.images, artifacts].flatMap((list) => (Array.isArray(list) ? list.map(String) : []));
  return [...new Set(named)];
}

/** The email of the account that a build names; undefined when it names none. Variables of the project are replaced. */
export function namedAccount(
  request: JsonObject,
  project: { readonly projectId: string; readonly number: string },
): string | undefined {
  const name = request.serviceAccount;
  if (typeof name !== 'string' || name === '') return undefined;
  const known: Record<string, string> = { PROJECT_ID: project.projectId, PROJECT_NUMBER: project.number };
  const own = isObject(request.substitutions) ? request.substitutions : {};
  const plain = name.replace(/\$\{?(\w+)\}?/g, (text, key: string) => String(known[key] ?? own[key] ?? text));
  const email = /^projects\/[^/]+\/serviceAccounts\/([^/]+)$/.exec(plain)?.[1];
  if (email !== undefined) return email;
  throw invalid(
    `invalid value for 'build.service_account': "${name}" is not projects/PROJECT/serviceAccounts/ACCOUNT`,
    'build.service_account',
  );
}

function checkSupported(build: JsonObject): void {
  const options = isObject(build.options) ? build.options : {};
  const pool = isObject(options.pool) ? options.pool.name : undefined;
  const artifacts = Object.keys(isObject(build.artifacts) ? build.artifacts : {});
  const given = [
    ...['secrets', 'availableSecrets', 'gitConfig', 'dependencies'].filter((field) => !isEmpty(build[field])),
    ...artifacts.filter((field) => field !== 'images').map((field) => `artifacts.${field}`),
    ...['secretEnv', 'volumes', 'workerPool']
      .filter((field) => !isEmpty(options[field]))
      .map((field) => `options.${field}`),
    ...(pool ? ['options.pool'] : []),
  ];
  const [first] = given;
  if (first !== undefined) {
    throw invalid(`invalid build: the local cloud does not support "${first}"`, `build.${first}`);
  }
}

function isEmpty(value: unknown): boolean {
  return (
    value === undefined ||
    value === '' ||
    (typeof value === 'object' && Object.keys(value ?? {}).length === 0)
  );
}

function checkSource(source: unknown): void {
  const storage = isObject(source) ? source.storageSource : undefined;
  if (!isObject(storage)) {
    throw invalid(
      'invalid build: the local cloud builds from source.storageSource (a .tar.gz archive in a bucket) only',
      'build.source',
    );
  }
  if (!storage.bucket || !storage.object) {
    throw invalid('invalid build: source.storageSource needs a bucket and an object', 'build.source');
  }
  if (/\.zip$/i.test(String(storage.object))) {
    throw invalid('invalid build: the local cloud unpacks .tar.gz archives, not .zip', 'build.source');
  }
}

function checkTags(tags: unknown): void {
  const wrong = Array.isArray(tags) ? tags.find((tag) => !/^[\w.-]{1,128}$/.test(String(tag))) : undefined;
  if (wrong !== undefined) throw invalid(`invalid build: invalid build tag "${String(wrong)}"`, 'build.tags');
}

/** An account of one's own has no access to the logs bucket that Google keeps. */
function checkLogs(build: JsonObject, options: JsonObject): void {
  if (isEmpty(build.serviceAccount) || !isEmpty(build.logsBucket)) return;
  if (options.defaultLogsBucketBehavior === 'REGIONAL_USER_OWNED_BUCKET') return;
  if (['CLOUD_LOGGING_ONLY', 'STACKDRIVER_ONLY', 'NONE'].includes(String(options.logging))) return;
  throw invalid(
    "if 'build.service_account' is specified, the build must either (a) specify 'build.logs_bucket', (b) use the REGIONAL_USER_OWNED_BUCKET build.options.default_logs_bucket_behavior option, or (c) use either CLOUD_LOGGING_ONLY / NONE logging options",
    'build.service_account',
  );
}

function loggingOf(build: JsonObject, options: JsonObject): string {
  const asked = String(options.logging ?? 'LOGGING_UNSPECIFIED');
  if (asked !== 'LOGGING_UNSPECIFIED') return asked;
  return isEmpty(build.logsBucket) ? 'CLOUD_LOGGING_ONLY' : 'LEGACY';
}
