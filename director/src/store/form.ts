/** The form in which documents lie, and how those of an older form get the newest. */
import { listAll } from './list-all.ts';
import { type DeploymentRecord, keys, type QueueRecord } from './records.ts';
import {
  type Collection,
  Conflict,
  type Key,
  type Store,
  type Stored,
  TIMED,
  Unopenable,
  type Write,
} from './store.ts';

/**
 * 1: as the first release wrote them, without this number.
 * 2: what is in TIMED can be listed by its time, also sealed and in Firestore; whoever waits long comes first in the queue.
 */
const FORM = 2;
const KEY: Key = { collection: 'store', id: 'form' };

interface FormRecord {
  readonly form: number;
}

/** How many are written at once, where they fit into one commit. */
const AT_ONCE = 20;

/**
 * Writes anew what has an older form, once for each store; several directors may do so at a time, and one that dies on
 * the way leaves the rest to the next. What a director of an older release writes after that is in no list by time
 * until it is written again: an update stops the old one first. Throws Unopenable for a state of a newer release.
 */
export async function bringToForm(store: Store): Promise<void> {
  const form = (await store.get<FormRecord>(KEY))?.value.form ?? 1;
  if (form > FORM)
    throw new Unopenable(
      `The state has the form ${form}, and this director knows ${FORM}: it takes a newer one`,
      form,
    );
  if (form === FORM) return;
  for (const collection of Object.keys(TIMED) as Collection[]) await writeAnew(collection, store);
  await orderAnew(store);
  await store.commit([{ type: 'put', key: KEY, value: { form: FORM } satisfies FormRecord, if: 'any' }]);
}

async function writeAnew(collection: Collection, store: Store): Promise<void> {
  for (let after: string | undefined; ; ) {
    const rows = await store.list<object>({
      collection,
      limit: AT_ONCE,
      ...(after === undefined ? {} : { after }),
    });
    const writes = rows.map((row) => same(collection, row));
    // Long ones do not fit into one commit, and one may be somebody's meanwhile: then each by itself.
    const areWritten = await written(writes, store).catch(() => false);
    if (!areWritten) for (const write of writes) await written([write], store);
    if (rows.length < AT_ONCE) return;
    after = rows.at(-1)?.id;
  }
}

/** Gives whoever waits the place that they would get now. */
async function orderAnew(store: Store): Promise<void> {
  for (const { id, value, version } of await listAll<QueueRecord>(store, { collection: 'queue' })) {
    const found = await store.get<DeploymentRecord>(keys.deployment(value.deployment));
    const place = found && keys.queue(found.value);
    if (!place || place.id === id) continue;
    await written(
      [
        { type: 'delete', key: { collection: 'queue', id }, if: version },
        { type: 'put', key: place, value, if: 'any' },
      ],
      store,
    );
  }
}

function same(collection: Collection, { id, value, version }: Stored<object>): Write {
  return { type: 'put', key: { collection, id }, value, if: version };
}

/** False when somebody else wrote one of them: in the form that they know. */
async function written(writes: readonly Write[], store: Store): Promise<boolean> {
  try {
    await store.commit(writes);
    return true;
  } catch (error) {
    if (error instanceof Conflict) return false;
    throw error;
  }
}
