/** One build, from the source in a bucket to the images in a repository. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { never } from '@service-director/shared/kit/never.ts';
import type { LocalCloud } from '../../cloud.ts';
import type { Identity } from '../../identity.ts';
import type { Images, Logs, Objects, StoredObject } from '../../internal.ts';
import { isObject, type JsonObject } from '../../json.ts';
import { SOURCE_RULES, unpack } from './archive.ts';
import type { Bench, BuiltImage } from './bench.ts';
import { buildWithPack } from './buildpack.ts';
import { buildWithDocker } from './docker.ts';
import { BuildFailure, Ended } from './failure.ts';
import type { InstallCache } from './install-cache.ts';
import { openLog } from './log.ts';
import type { Machine } from './machine.ts';
import { type BuildRow, imagesOf } from './row.ts';
import { readSteps, type Step } from './steps.ts';

export interface Workshop {
  readonly objects: Objects;
  readonly images: Images;
  readonly logs: Logs;
  readonly machine: Machine;
  readonly cache: InstallCache;
}

export interface Job {
  readonly row: BuildRow;
  /** Whom the build acts as. */
  readonly account: Identity;
  /** New, and the build's alone. */
  readonly folder: string;
  readonly signal: AbortSignal;
  /** Ends the build for a step that took too long. */
  timeOut(message: string): void;
  /** What is known of the build by now, to be told to whoever asks. */
  report(change: JsonObject): void;
}

/** Throws BuildFailure when the build fails by what it was given. */
export async function construct(cloud: LocalCloud, workshop: Workshop, job: Job): Promise<void> {
  const { row, report } = job;
  const now = (): string => timestamp(cloud.clock.now());
  const timing: Record<string, JsonObject> = {};
  const may = (permission: string, resource: string): boolean =>
    cloud.iam.test(job.account, [permission], resource).length > 0;

  const log = await openLog(cloud, workshop, row, job.account);
  if (log.warning !== undefined) report({ warnings: [{ text: log.warning, priority: 'ALERT' }] });

  async function timed<T>(name: string, work: () => Promise<T>): Promise<T> {
    const span: JsonObject = { startTime: now() };
    timing[name] = span;
    try {
      log.say(name);
      return await work();
    } finally {
      span.endTime = now();
      report({ timing: { ...timing } });
      await log.flush();
    }
  }

  async function fetchSource(workspace: string): Promise<void> {
    const source = sourceOf(row.build);
    const object = may('storage.objects.get', `buckets/${source.bucket}/objects/${source.object}`)
      ? workshop.objects.find(source.bucket, source.object, source.generation)
      : undefined;
    if (!object) throw noSource(source, job.account);
    report({ sourceProvenance: provenance(object) });
    log.say(`Fetching storage object: gs://${object.bucket}/${object.name}#${object.generation}`);
    await mkdir(workspace, { recursive: true });
    try {
      await unpack(workshop.objects.read(object), workspace, SOURCE_RULES, job.signal);
    } catch (error) {
      job.signal.throwIfAborted();
      throw new BuildFailure('FETCH_SOURCE_FAILED', sentence(error));
    }
  }

  async function runSteps(bench: Omit<Bench, 'say'>): Promise<Map<string, BuiltImage>> {
    const built = new Map<string, BuiltImage>();
    const told = (Array.isArray(row.build.steps) ? row.build.steps : []).filter(isObject);
    try {
      for (const [index, step] of readSteps(row.build).entries()) {
        const startTime = now();
        const { status, error } = await runStep(bench, step, index, built);
        told[index] = { ...told[index], status, timing: { startTime, endTime: now() } };
        if (error !== undefined && !(status === 'FAILURE' && step.allowFailure)) throw error;
      }
    } finally {
      report({ steps: told });
    }
    return built;
  }

  async function runStep(
    bench: Omit<Bench, 'say'>,
    step: Step,
    index: number,
    built: Map<string, BuiltImage>,
  ): Promise<{ status: string; error?: unknown }> {
    const say = (line: string): void => log.say(line, index);
    const stopTimer = cloud.clock.after(step.timeoutMs ?? Number.POSITIVE_INFINITY, () =>
      job.timeOut(`build step ${index} "${step.name}" timed out`),
    );
    log.say(`Starting Step #${index}`);
    try {
      await act({ ...bench, say }, step, built);
      log.say(`Finished Step #${index}`);
      return { status: 'SUCCESS' };
    } catch (error) {
      const { reason } = job.signal;
      if (job.signal.aborted) {
        return { status: reason instanceof Ended ? reason.status : 'CANCELLED', error: reason };
      }
      say(`ERROR: ${sentence(error)}`);
      if (!(error instanceof BuildFailure)) return { status: 'INTERNAL_ERROR', error };
      const detail = `Build step failure: build step ${index} "${step.name}" failed: ${error.message}`;
      return { status: 'FAILURE', error: new BuildFailure(error.type, detail) };
    } finally {
      stopTimer();
    }
  }

  async function push(built: ReadonlyMap<string, BuiltImage>): Promise<void> {
    const wanted = imagesOf(row.build);
    const missing = wanted.filter((image) => !built.has(tagged(image)));
    if (missing.length > 0) {
      throw new BuildFailure(
        'PUSH_IMAGE_NOT_FOUND',
        `failed to find one or more images after execution of build steps: ${JSON.stringify(missing)}`,
      );
    }
    const results: JsonObject[] = [];
    for (const name of wanted) {
      const image = built.get(tagged(name));
      if (image) results.push(pushOne(name, image));
      report({ results: { images: [...results] } });
    }
  }

  function pushOne(name: string, image: BuiltImage): JsonObject {
    const startTime = now();
    log.say(`Pushing ${tagged(name)}`);
    const repository = workshop.images.repositoryOf(name);
    if (!may('artifactregistry.repositories.uploadArtifacts', repository)) {
      throw new BuildFailure(
        'PUSH_NOT_AUTHORIZED',
        `The push refers to ${name}: denied: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource "${repository}" (or it may not exist), for ${job.account.email}`,
      );
    }
    try {
      const { digest } = workshop.images.push(name, image);
      log.say(`digest: ${digest}`);
      return { name, digest, pushTiming: { startTime, endTime: now() } };
    } catch (error) {
      throw new BuildFailure('PUSH_FAILED', `${name}: ${sentence(error)}`);
    }
  }

  const workspace = join(job.folder, 'workspace');
  const home = join(job.folder, 'home');
  try {
    log.say(`starting build "${row.id}"`);
    await mkdir(home, { recursive: true });
    await timed('FETCHSOURCE', () => fetchSource(workspace));
    const { machine, cache } = workshop;
    const bench = { blobs: cloud.store.blobs, machine, cache, workspace, home, signal: job.signal };
    const built = await timed('BUILD', () => runSteps(bench));
    await timed('PUSH', () => push(built));
    log.say('DONE');
  } catch (error) {
    log.say(`ERROR: ${sentence(job.signal.aborted ? job.signal.reason : error)}`);
    throw error;
  } finally {
    await log.flush();
  }
}

async function act(bench: Bench, { action }: Step, built: Map<string, BuiltImage>): Promise<void> {
  switch (action.type) {
    case 'nothing':
      return;
    case 'pack':
    case 'docker': {
      const image =
        action.type === 'pack' ? await buildWithPack(bench, action) : await buildWithDocker(bench, action);
      for (const name of action.images) built.set(tagged(name), image);
      return;
    }
    default:
      never(action);
  }
}

interface SourceName {
  readonly bucket: string;
  readonly object: string;
  readonly generation: string | undefined;
}

function sourceOf(build: JsonObject): SourceName {
  const source =
    isObject(build.source) && isObject(build.source.storageSource) ? build.source.storageSource : {};
  const generation = String(source.generation ?? '0');
  return {
    bucket: String(source.bucket),
    object: String(source.object),
    generation: generation === '0' ? undefined : generation,
  };
}

/** As on Google Cloud, a source that is not there and one that the account may not read look the same. */
function noSource({ bucket, object, generation }: SourceName, account: Identity): BuildFailure {
  const version = generation === undefined ? '' : `#${generation}`;
  return new BuildFailure(
    'FETCH_SOURCE_FAILED',
    `could not fetch source: gs://${bucket}/${object}${version} does not exist, or ${account.email} does not have storage.objects.get access to it`,
  );
}

function provenance({ bucket, name, generation, blob }: StoredObject): JsonObject {
  const value = Buffer.from(blob.digest.replace('sha256:', ''), 'hex').toString('base64');
  return {
    resolvedStorageSource: { bucket, object: name, generation },
    fileHashes: { [`gs://${bucket}/${name}#${generation}`]: { fileHash: [{ type: 'SHA256', value }] } },
  };
}

/** With `latest` where no tag is given. */
function tagged(image: string): string {
  return image.slice(image.lastIndexOf('/')).includes(':') ? image : `${image}:latest`;
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
