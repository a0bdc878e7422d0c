/** Whether the newest revision of a Cloud Run service is well: what it answers us, and what it answered its users. */
import type { run_v2 } from 'googleapis/build/src/apis/run/v2.js';
import type { Cloud } from '../../cloud/cloud.ts';
import { CloudError } from '../../cloud/error.ts';
import type { RolloutSpec } from '../../model/rollout.ts';
import type { LookContext } from '../kind.ts';
import { NEXT } from './traffic.ts';

type Live = run_v2.Schema$GoogleCloudRunV2Service;

/** One that takes longer is not well. Milliseconds. */
const ANSWER_MS = 10_000;
/** Of fewer requests no percentage tells anything. */
const LEAST_REQUESTS = 20;
/** The newest that are counted. */
const MOST_REQUESTS = 1_000;

/** Why it is not well, undefined where nothing tells against it. Rejects only when the signal is aborted. */
export async function lookAtNewest(
  live: Live,
  rollout: RolloutSpec,
  context: LookContext,
): Promise<string | undefined> {
  const { checkPath, maxErrorPercent: most } = rollout;
  const answered = checkPath === '' ? undefined : await ask(checkPath, live, context);
  if (answered !== undefined || most === undefined) return answered;
  return countErrors(most, live, context);
}

/** By its own address, so that it can be asked before anybody else comes to it. */
async function ask(path: string, live: Live, { cloud, signal }: LookContext): Promise<string | undefined> {
  const tagged = live.trafficStatuses?.find(({ tag }) => tag === NEXT)?.uri;
  const base = tagged ?? live.uri;
  if (!base) return 'it has no address to be asked at';
  try {
    const token = await cloud.idToken(live.uri ?? base);
    const response = await fetch(`${base}${path}`, {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    });
    await response.body?.cancel();
    return response.ok ? undefined : `GET ${path} answered ${response.status}`;
  } catch (error) {
    signal.throwIfAborted();
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    return `GET ${path} ${isLate ? `was not answered within ${ANSWER_MS / 1_000} s` : `failed: ${wordsOf(error)}`}`;
  }
}

function wordsOf(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  return CloudError.from(cause ?? error).message;
}

/** Google writes each request down, with the revision that answered it. */
async function countErrors(
  most: number,
  live: Live,
  { cloud, since, signal }: LookContext,
): Promise<string | undefined> {
  const revision = live.latestReadyRevision?.split('/').at(-1);
  const service = live.name?.split('/').at(-1);
  const filter = [
    'resource.type="cloud_run_revision"',
    `resource.labels.service_name="${service}"`,
    `resource.labels.revision_name="${revision}"`,
    'httpRequest.status>0',
    `timestamp>="${new Date(since).toISOString()}"`,
  ].join(' ');
  try {
    const entries = await requestsOf(filter, cloud);
    const failed = entries.filter(({ httpRequest }) => (httpRequest?.status ?? 0) >= 500).length;
    const percent = (100 * failed) / entries.length;
    if (entries.length < LEAST_REQUESTS || percent <= most) return undefined;
    return `it answered ${failed} of ${entries.length} requests with 5xx, which is more than ${most} %`;
  } catch (error) {
    signal.throwIfAborted();
    return `its requests cannot be counted: ${CloudError.from(error).message}`;
  }
}

async function requestsOf(filter: string, cloud: Cloud) {
  const logging = await cloud.logging();
  const { data } = await logging.entries.list({
    requestBody: {
      resourceNames: [`projects/${cloud.project}`],
      filter,
      orderBy: 'timestamp desc',
      pageSize: MOST_REQUESTS,
    },
  });
  return data.entries ?? [];
}
