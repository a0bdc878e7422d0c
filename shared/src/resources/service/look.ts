/** Whether the newest revision of a Cloud Run service is well: what it answers us, and what it answered its users. */
import type { logging_v2 } from 'googleapis/build/src/apis/logging/v2.js';
import type { run_v2 } from 'googleapis/build/src/apis/run/v2.js';
import { CloudError, fixOf, isTransient } from '../../cloud/error.ts';
import type { RolloutSpec } from '../../model/rollout.ts';
import type { LookContext, Trouble } from '../kind.ts';
import { NEXT } from './traffic.ts';

type Live = run_v2.Schema$GoogleCloudRunV2Service;
type Entry = logging_v2.Schema$LogEntry;

/** One that takes longer is not well. Milliseconds. */
const ANSWER_MS = 10_000;
/** As which we ask; what is asked so is no request of a user. */
const AGENT = 'service-director-rollout';
const LOGGING = 'logging.googleapis.com';
/** Of fewer requests no percentage tells anything. */
const LEAST_REQUESTS = 20;
/** The newest that are counted, in at most so many questions: a search that takes long comes in parts. */
const MOST_REQUESTS = 1_000;
const MOST_PAGES = 10;

/** Why it is not well, undefined where nothing tells against it. Rejects only when the signal is aborted. */
export async function lookAtNewest(
  live: Live,
  rollout: RolloutSpec,
  context: LookContext,
): Promise<Trouble | undefined> {
  const { checkPath, maxErrorPercent: most } = rollout;
  const answered = checkPath === '' ? undefined : await ask(checkPath, live, context);
  // Nobody's requests have come to it yet.
  if (answered !== undefined || most === undefined || context.percent === 0) return answered;
  return countErrors(most, live, context);
}

/** By its own address, so that it can be asked before anybody else comes to it. */
async function ask(
  path: string,
  live: Live,
  { cloud, percent, signal }: LookContext,
): Promise<Trouble | undefined> {
  const tagged = live.trafficStatuses?.find(({ tag }) => tag === NEXT)?.uri;
  // Only while all requests come to it is the service's own address its own.
  const base = percent < 100 ? tagged : (tagged ?? live.uri);
  if (!base) return { what: 'it has no address of its own to be asked at' };
  try {
    const token = await cloud.idToken(live.uri ?? base);
    const response = await fetch(`${base}${path}`, {
      headers: { 'user-agent': AGENT, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    });
    await response.body?.cancel();
    return response.ok ? undefined : { what: `GET ${path} answered ${response.status}` };
  } catch (error) {
    signal.throwIfAborted();
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    return {
      what: `GET ${path} ${isLate ? `was not answered within ${ANSWER_MS / 1_000} s` : `failed: ${wordsOf(error)}`}`,
    };
  }
}

function wordsOf(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  return CloudError.from(cause ?? error).message;
}

/** Google writes each request down, with the revision that answered it. */
async function countErrors(most: number, live: Live, context: LookContext): Promise<Trouble | undefined> {
  const revision = live.latestReadyRevision?.split('/').at(-1);
  const service = live.name?.split('/').at(-1);
  const filter = [
    'resource.type="cloud_run_revision"',
    `resource.labels.service_name="${service}"`,
    `resource.labels.revision_name="${revision}"`,
    'httpRequest.status>0',
    `NOT httpRequest.userAgent="${AGENT}"`,
    `timestamp>="${new Date(context.since).toISOString()}"`,
  ].join(' ');
  try {
    const entries = await requestsOf(filter, context);
    const failed = entries.filter(({ httpRequest }) => (httpRequest?.status ?? 0) >= 500).length;
    const percent = (100 * failed) / entries.length;
    if (entries.length < LEAST_REQUESTS || percent <= most) return undefined;
    return {
      what: `it answered ${failed} of ${entries.length} requests with 5xx, which is more than ${most} %`,
    };
  } catch (error) {
    context.signal.throwIfAborted();
    const known = CloudError.from(error);
    // That nobody tells just now is no word against it.
    if (isTransient(known) || known.reason === 'rate-limited') return undefined;
    const fix =
      known.reason === 'denied' ? 'conductor up grants roles/logging.viewer to the director' : fixOf(known);
    return {
      what: `its requests cannot be counted: ${known.message}`,
      ...(fix === undefined ? {} : { fix }),
    };
  }
}

async function requestsOf(filter: string, { cloud, signal, limit }: LookContext): Promise<readonly Entry[]> {
  const logging = await cloud.logging();
  const entries: Entry[] = [];
  let pageToken: string | undefined;
  for (let page = 0; page < MOST_PAGES && entries.length < MOST_REQUESTS; page++) {
    const requestBody = {
      resourceNames: [`projects/${cloud.project}`],
      filter,
      orderBy: 'timestamp desc',
      pageSize: MOST_REQUESTS,
      ...(pageToken === undefined ? {} : { pageToken }),
    };
    const { data } = await limit(LOGGING, () => logging.entries.list({ requestBody }, { signal }));
    entries.push(...(data.entries ?? []));
    if (!data.nextPageToken) break;
    pageToken = data.nextPageToken;
  }
  return entries;
}
