/** Builds with Cloud Build: the source goes through a bucket, buildpacks make the image, the registry has the digest. */
import { pipeline } from 'node:stream/promises';
import { CloudError, isTransient } from '@service-director/shared/cloud/error.ts';
import type { cloudbuild_v1 } from 'googleapis/build/src/apis/cloudbuild/v1.js';
import type { RunContext } from '../context.ts';
import { Failure } from '../failure.ts';
import { OUT_OF_REACH_MS } from '../reach.ts';
import type { Builder, BuildRequest } from './builder.ts';

type Build = cloudbuild_v1.Schema$Build;

/** As gcloud builds without a Dockerfile. */
const PACK = 'gcr.io/k8s-skaffold/pack';
const BUILDPACKS = 'gcr.io/buildpacks/builder:latest';
const TIMEOUT_SECONDS = 1_800;
/** How long refusals are taken for grants that have not propagated. */
const PATIENCE_MS = 10 * 60_000;

export const cloudBuild: Builder = async (request, context) => {
  const object = await upload(request, context);
  const build = await buildOnce(request, object, context);
  const image = taggedImage(request);
  const digest = build.results?.images?.find(({ name }) => name === image)?.digest;
  if (!digest)
    throw new Failure(`The build of ${request.name} ended without an image`, { fix: `see ${build.logUrl}` });
  return digest;
};

/** A build that failed because its account's new grants are not in effect yet is begun again: we may not ask as that account. */
async function buildOnce(request: BuildRequest, object: string, context: RunContext): Promise<Build> {
  const { clock, signal } = context;
  const began = clock.now();
  for (let wait = 500; ; wait = Math.min(30_000, wait * 1.6)) {
    const id = (await runningBuild(request, context)) ?? (await start(request, object, context));
    const build = await follow(id, request, context);
    if (build.status === 'SUCCESS') return build;
    const mayPass = REFUSED.has(build.failureInfo?.type ?? '') && clock.now() - began < PATIENCE_MS;
    if (!mayPass) throw failed(request, build, context.reach.cloud.project);
    request.waiting(`the grants of ${request.account.split('@')[0]} to take effect`);
    await clock.sleep(wait, signal);
  }
}

/** How a build ends whose account may not read its source, or not push its image. */
const REFUSED: ReadonlySet<string> = new Set(['FETCH_SOURCE_FAILED', 'PUSH_NOT_AUTHORIZED']);

function taggedImage({ deployment, source }: BuildRequest): string {
  return `${deployment.image}:${source.tag}`;
}

/** Under a name that follows from the content: the same source is sent once. */
async function upload({ name, source, staging }: BuildRequest, { reach }: RunContext): Promise<string> {
  const object = `source/${name}-${source.tag}.tar.gz`;
  const storage = await reach.storage();
  const file = storage.bucket(staging).file(object);
  const [isThere] = await file.exists();
  if (isThere) return object;
  const sink = file.createWriteStream({
    resumable: false,
    preconditionOpts: { ifGenerationMatch: 0 },
    contentType: 'application/gzip',
  });
  // The client tells a failure a second time when nobody listens any more.
  sink.on('error', () => {});
  try {
    await pipeline(source.archive(), sink);
  } catch (error) {
    // Somebody sent it at the same moment.
    if (CloudError.from(error).reason !== 'conflict') throw error;
  }
  return object;
}

/** A build of this content that an earlier run began, and did not wait for. */
async function runningBuild(request: BuildRequest, { reach }: RunContext): Promise<string | undefined> {
  const builds = await reach.cloud.builds();
  const { data } = await builds.projects.locations.builds.list({
    parent: parentOf(request, reach.cloud.project),
    filter: `tags="${tagOf(request)}"`,
  });
  return (
    data.builds?.find(({ status }) => status === 'QUEUED' || status === 'WORKING' || status === 'PENDING')
      ?.id ?? undefined
  );
}

async function start(request: BuildRequest, object: string, context: RunContext): Promise<string> {
  const { reach, clock, signal } = context;
  const builds = await reach.cloud.builds();
  const requestBody = describe(request, object, reach.cloud.project);
  const began = clock.now();
  for (let wait = 300; ; wait = Math.min(10_000, wait * 1.6)) {
    try {
      const { data } = await builds.projects.locations.builds.create({
        parent: parentOf(request, reach.cloud.project),
        requestBody,
      });
      const id = (data.metadata?.build as Build | undefined)?.id;
      if (!id) throw new CloudError('internal', 'Cloud Build gave no id');
      return id;
    } catch (error) {
      const known = CloudError.from(error);
      const mayPass = isTransient(known) || known.reason === 'denied' || known.reason === 'api-disabled';
      if (!mayPass || clock.now() - began > PATIENCE_MS) throw known;
      // An answer that got lost: the build may have begun all the same.
      const begun = known.reason === 'unknown-outcome' ? await runningBuild(request, context) : undefined;
      if (begun !== undefined) return begun;
      request.waiting(known.message);
      await clock.sleep(wait, signal);
    }
  }
}

function describe(request: BuildRequest, object: string, project: string): Build {
  const image = taggedImage(request);
  return {
    source: { storageSource: { bucket: request.staging, object } },
    steps: [
      { name: PACK, entrypoint: 'pack', args: ['config', 'default-builder', BUILDPACKS] },
      {
        name: PACK,
        entrypoint: 'pack',
        args: ['build', image, '--network', 'cloudbuild', '--path', request.source.module],
      },
    ],
    images: [image],
    serviceAccount: `projects/${project}/serviceAccounts/${request.account}`,
    options: { logging: 'CLOUD_LOGGING_ONLY' },
    timeout: `${TIMEOUT_SECONDS}s`,
    tags: [tagOf(request), 'service-director'],
  };
}

async function follow(
  id: string,
  request: BuildRequest,
  { reach, clock, signal }: RunContext,
): Promise<Build> {
  const builds = await reach.cloud.builds();
  const name = `${parentOf(request, reach.cloud.project)}/builds/${id}`;
  let told: string | undefined;
  // Grows so slowly that the end is seen a tenth late at most, and 3 s.
  let answeredAt = clock.now();
  for (let wait = 100; ; wait = Math.min(3_000, wait * 1.1)) {
    const build = await builds.projects.locations.builds.get({ name }).then(
      ({ data }) => {
        answeredAt = clock.now();
        return data;
      },
      (error) => {
        if (isTransient(CloudError.from(error)) && clock.now() - answeredAt < OUT_OF_REACH_MS)
          return undefined;
        throw error;
      },
    );
    if (build?.status && ENDED.has(build.status)) return build;
    if (build?.status === 'QUEUED' && told !== 'QUEUED') request.waiting('the build is queued');
    told = build?.status ?? told;
    await clock.sleep(wait, signal);
  }
}

const ENDED: ReadonlySet<string> = new Set([
  'SUCCESS',
  'FAILURE',
  'INTERNAL_ERROR',
  'TIMEOUT',
  'CANCELLED',
  'EXPIRED',
]);

function failed({ name, deployment }: BuildRequest, build: Build, project: string): Failure {
  const detail = build.failureInfo?.detail ?? build.statusDetail ?? build.status ?? 'it failed';
  const log = build.logUrl ? `see ${build.logUrl}` : 'see the log of the build';
  return new Failure(`The build of ${name} failed: ${detail}`, {
    fix: `${log}, or run gcloud builds log ${build.id} --region=${deployment.region} --project=${project}`,
  });
}

function parentOf({ deployment }: BuildRequest, project: string): string {
  return `projects/${project}/locations/${deployment.region}`;
}

/** Names service and content: builds have no names that one could choose. */
function tagOf({ name, source }: BuildRequest): string {
  return `sd-${name}-${source.tag}`;
}
