/** Deployments over HTTP: which there are, and all that is known of one. */
import type {
  DeploymentBrief,
  DeploymentDetail,
  DeploymentPage,
} from '@service-director/shared/contract/state.ts';
import type { StackId } from '@service-director/shared/model/unit.ts';
import { type Request, Router } from 'express';
import type { z } from 'zod';
import { journalOf, readValue, surroundingsOf, withRequester } from '../deployments/reading.ts';
import { reportOf } from '../deployments/report.ts';
import { briefOf, type Surroundings } from '../deployments/views.ts';
import { type CommandRecord, type DeploymentRecord, type DeploymentStatus, keys } from '../store/records.ts';
import type { Query, Store } from '../store/store.ts';
import { Problem } from './problem.ts';
import { limitOf, queryOf } from './query.ts';

const PAGE = 50;
const MOST = 500;
/** How many are read at a time while the newest are sought. */
const READ = 100;
/** Characters; nothing longer was ever kept. */
const LONGEST_ID = 300;

/** All that there are, for whoever asks for one that there is not. */
const STATUSES = {
  queued: true,
  planning: true,
  waiting_for_lock: true,
  awaiting_approval: true,
  applying: true,
  cancelling: true,
  succeeded: true,
  failed: true,
  cancelled: true,
} as const satisfies Record<DeploymentStatus, true>;

export function deploymentRoutes({ store }: { store: Store }): Router {
  const router = Router();

  router.get('/deployments', async (request, response) => {
    const limit = limitOf(request, PAGE, MOST);
    const found = await newest(store, wantedOf(request), limit + 1);
    const page = found.slice(0, limit);
    const last = found.length > limit ? page.at(-1) : undefined;
    const answer: z.output<typeof DeploymentPage> = {
      deployments: await briefsOf(page, store),
      ...(last ? { next: placeOf(last) } : {}),
    };
    response.json(answer);
  });

  router.get('/deployments/:id', async (request, response) => {
    const found = await demandDeployment(request.params.id, store);
    const record = await withRequester(found, store);
    const [around, events] = await Promise.all([
      surroundingsOf(record.stack, store),
      journalOf(record, store),
    ]);
    const answer: DeploymentDetail = { ...briefOf(record, around), report: reportOf(record), events };
    response.json(answer);
  });

  return router;
}

interface Wanted {
  readonly stack: string | undefined;
  readonly status: string | undefined;
  /** The place of the last of the page before. */
  readonly after: string | undefined;
}

function wantedOf(request: Request): Wanted {
  const [stack, status, after] = [
    queryOf(request, 'stack'),
    queryOf(request, 'status'),
    queryOf(request, 'after'),
  ];
  if (status !== undefined && !Object.hasOwn(STATUSES, status)) {
    const known = Object.keys(STATUSES).join(', ');
    throw new Problem(400, 'Bad request', `There is no status ${status}`, `known are: ${known}`);
  }
  if (after !== undefined && !/^\d{4}-[^/]*\/./.test(after))
    throw new Problem(400, 'Bad request', `after is ${after}`, 'give the "next" of the page before');
  return { stack, status, after };
}

/** Where it stands in the list: later ones sort behind, and no two are in one place. */
function placeOf({ createdAt, id }: DeploymentRecord): string {
  return `${createdAt}/${id}`;
}

/**
 * So many of the newest, newest first. The store sorts by id and not by time, so that all are read once for a page;
 * no more of them are kept than are asked for.
 */
async function newest(store: Store, wanted: Wanted, count: number): Promise<DeploymentRecord[]> {
  const { stack, status, after: before } = wanted;
  const query = queryFor(wanted);
  let best: DeploymentRecord[] = [];
  let after: string | undefined;
  for (;;) {
    const rows = await store.list<DeploymentRecord>({
      ...query,
      limit: READ,
      ...(after === undefined ? {} : { after }),
    });
    const fitting = rows
      .map(({ value }) => value)
      .filter(
        (record) =>
          (stack === undefined || record.stack === stack) &&
          (status === undefined || record.status === status) &&
          (before === undefined || placeOf(record) < before),
      );
    best = [...best, ...fitting].sort((a, b) => (placeOf(a) < placeOf(b) ? 1 : -1)).slice(0, count);
    if (rows.length < READ) return best;
    after = rows.at(-1)?.id;
  }
}

/** The one condition that the store looks up; a stack has fewer deployments than a status. */
function queryFor({ stack, status }: Wanted): Pick<Query, 'collection' | 'where'> {
  const collection = 'deployments';
  if (stack !== undefined) return { collection, where: { field: 'stack', is: stack } };
  return status === undefined ? { collection } : { collection, where: { field: 'status', is: status } };
}

async function briefsOf(records: readonly DeploymentRecord[], store: Store): Promise<DeploymentBrief[]> {
  const around = new Map<StackId, Promise<Surroundings>>();
  return Promise.all(
    records.map(async (record) => {
      const mine = around.get(record.stack) ?? surroundingsOf(record.stack, store);
      around.set(record.stack, mine);
      return briefOf(await withRequester(record, store), await mine);
    }),
  );
}

/** Throws a Problem 404, which tells those of a command to whoever took its id for one of them. */
async function demandDeployment(id: string, store: Store): Promise<DeploymentRecord> {
  const isPossible = id.length <= LONGEST_ID;
  const found = isPossible ? await readValue<DeploymentRecord>(keys.deployment(id), store) : undefined;
  if (found) return found;
  const command = isPossible ? await readValue<CommandRecord>(keys.command(id), store) : undefined;
  const isCommand = command !== undefined && command.deployments.length > 0;
  throw new Problem(
    404,
    'Not found',
    `There is no deployment ${id}`,
    isCommand
      ? `it is a command; known are its deployments: ${command.deployments.join(', ')}`
      : 'conductor deployments, or GET /deployments, lists those that there are',
  );
}
