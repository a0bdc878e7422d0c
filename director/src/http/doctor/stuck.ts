/** Deployments that nothing happens to: since when, and what they wait for. */
import type { Finding } from '@service-director/shared/contract/rest/director.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { surroundingsOf } from '../../deployments/reading.ts';
import { briefOf } from '../../deployments/views.ts';
import { ACTIVE } from '../../observability/facts.ts';
import type { DeploymentRecord, JournalEntry } from '../../store/records.ts';
import { type Store, timedPlace } from '../../store/store.ts';

/** For so long a deployment may say nothing, in milliseconds. */
const PATIENCE_MS = 15 * 60_000;
/** More are not told one by one. */
const MOST = 50;
/** So many are looked at together. */
const PAGE = 50;

interface Quiet {
  readonly record: DeploymentRecord;
  /** Milliseconds since 1970. */
  readonly since: number;
  /** The newest line of its journal. */
  readonly last: JournalEntry | undefined;
}

export async function stuckOf({ store, clock }: { store: Store; clock: Clock }): Promise<Finding[]> {
  let active = 0;
  let count = 0;
  /** Those to which nothing happened for longest, the longest first. */
  let longest: readonly Quiet[] = [];
  for await (const page of activePages(store)) {
    const quiets = await Promise.all(page.map((record) => quietOf(record, store)));
    const stuck = quiets.filter(({ since }) => clock.now() - since > PATIENCE_MS);
    active += page.length;
    count += stuck.length;
    longest = [...longest, ...stuck].sort((a, b) => a.since - b.since).slice(0, MOST);
  }
  const summary: Finding = {
    check: 'deployments',
    status: count > 0 ? 'warning' : 'ok',
    detail: `${active} under way; to ${count} of them nothing happened for ${PATIENCE_MS / 60_000} minutes`,
    ...(count > 0 ? { fix: 'see each of them below' } : {}),
  };
  return [summary, ...(await Promise.all(longest.map((quiet) => findingOf(quiet, store))))];
}

/** What has not ended, a few at a time: of each its journal is asked for, and more are not held. */
async function* activePages(store: Store): AsyncGenerator<readonly DeploymentRecord[]> {
  for (const is of ACTIVE) {
    for (let after: string | undefined; ; ) {
      const rows = await store.list<DeploymentRecord>({
        ...{ collection: 'deployments', where: { field: 'status', is }, by: 'time', limit: PAGE },
        ...(after === undefined ? {} : { after }),
      });
      yield rows.map(({ value }) => value);
      const last = rows.at(-1);
      if (!last || rows.length < PAGE) break;
      after = timedPlace(last.value.createdAt, last.id);
    }
  }
}

async function quietOf(record: DeploymentRecord, store: Store): Promise<Quiet> {
  const prefix = `${record.id}/`;
  const [newest] = await store.list<JournalEntry>({
    ...{ collection: 'journal', prefix, order: 'descending', limit: 1 },
  });
  const last = newest?.value;
  const times = [record.createdAt, record.startedAt, record.resumedAt, last?.at].flatMap((at) =>
    at === undefined ? [] : Date.parse(at),
  );
  return { record, since: Math.max(...times), last };
}

async function findingOf({ record, since, last }: Quiet, store: Store): Promise<Finding> {
  const { id, status, stack } = record;
  const around = await surroundingsOf(stack, store);
  const { waiting_for: named } = briefOf(record, around);
  const said = last?.type === 'waiting' ? last.because : undefined;
  const heartbeat = around.stack?.lease?.deployment === id ? around.stack.lease.heartbeatAt : undefined;
  const sign =
    heartbeat === undefined ? 'nobody is at it' : `its director was heard of at ${timestamp(heartbeat)}`;
  const runs = status === 'planning' || status === 'applying';
  const what = named ?? (runs ? 'the tool that it runs' : 'its turn');
  const waits = said === undefined ? `it waits for ${what}` : `it waits: ${said}`;
  return {
    check: `deployment ${id}`,
    status: 'warning',
    detail: `${status} since ${timestamp(since)}; ${waits}${status === 'awaiting_approval' ? '' : `; ${sign}`}`,
    fix: fixFor(record, around.lock !== undefined),
  };
}

function fixFor({ id, status, dataflow }: DeploymentRecord, isLocked: boolean): string {
  if (status === 'awaiting_approval') return `conductor approve ${id}, with --reject where it is not to be`;
  const waits = status === 'queued' || status === 'waiting_for_lock';
  if (waits && isLocked) return `ask whoever holds the lock, then conductor unlock ${dataflow}`;
  if (waits) return 'see what is before it in its queue';
  return `see conductor deployments logs ${id}; conductor cancel ${id} ends it; what needs longer is given more time (MAX_DEPLOYMENT_TIMEOUT_MS, options.timeout)`;
}
