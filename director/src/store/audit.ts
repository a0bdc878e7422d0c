/**
 * The audit trail of a stack: who asked, who approved, what changed. Beside it, in a trail of its own, who read what is
 * kept of it: that may be often, and must hold up nobody who writes the other.
 *
 * Each row has in its hash that of the row before, and the newest is noted beside them: a row that is changed,
 * taken out or taken off the end shows.
 */
import { canonicalJson, sha256 } from '@service-director/shared/kit/hash.ts';
import type { StackId } from '@service-director/shared/model/unit.ts';
import { type AuditHead, type AuditPlace, type AuditRecord, keys, type ReadRecord } from './records.ts';
import type { Key, Store, Write } from './store.ts';

export type Fact = Omit<AuditRecord, keyof Linked>;
type ReadFact = Omit<ReadRecord, keyof Linked>;

/** What a row of a trail has beside what it says. */
export type Linked = Pick<AuditRecord, 'stack' | 'sequence' | 'hash'>;

/** The writes that add facts to the trail, as it is now: in conflict with whoever adds at the same time. */
export function auditWrites(stack: StackId, facts: readonly Fact[], store: Store): Promise<Write[]> {
  return trailWrites(stack, stack, facts, store);
}

/** The same of reads. */
export function readWrites(stack: StackId, facts: readonly ReadFact[], store: Store): Promise<Write[]> {
  return trailWrites(keys.reads(stack), stack, facts, store);
}

async function trailWrites(
  trail: StackId,
  stack: StackId,
  facts: readonly object[],
  store: Store,
): Promise<Write[]> {
  if (facts.length === 0) return [];
  const found = await store.get<AuditHead>(keys.auditHead(trail));
  const { from, ...end }: AuditHead = found?.value ?? BEGINNING;
  let head: AuditPlace = end;
  const rows = facts.map((fact): Write => {
    const row = link(head, stack, fact);
    head = { sequence: row.sequence, hash: row.hash };
    return { type: 'put', key: keys.audit(trail, row.sequence), value: row, if: 'absent' };
  });
  const value: AuditHead = { ...head, ...(from ? { from } : {}) };
  return [...rows, { type: 'put', key: keys.auditHead(trail), value, if: found?.version ?? 'absent' }];
}

/**
 * The writes that take from a trail its oldest rows from before a time, at most `most` writes; none where there is no
 * such row. What is left still follows from what stood before it. `trail`: as `keys.reads` says; RFC 3339.
 */
export async function trimmedTrail(
  trail: string,
  before: string,
  most: number,
  store: Store,
): Promise<Write[]> {
  const key: Key = { collection: 'audits', id: trail };
  const found = await store.get<AuditHead>(key);
  if (!found) return [];
  const rows = await store.list<ReadRecord>({ collection: 'audit', prefix: `${trail}/`, limit: most - 1 });
  const end = rows.findIndex(({ value }) => value.at >= before);
  const old = end < 0 ? rows : rows.slice(0, end);
  const last = old.at(-1);
  if (!last) return [];
  const { sequence, hash } = last.value;
  const value: AuditHead = { ...found.value, from: { sequence, hash } };
  return [
    ...old.map(
      ({ id, version }): Write => ({ type: 'delete', key: { collection: 'audit', id }, if: version }),
    ),
    { type: 'put', key, value, if: found.version },
  ];
}

/** The sequence of the first row that does not follow from those before it; undefined when all do. Rows oldest first. */
export function verifyChain(rows: readonly Linked[], head: AuditHead | undefined): number | undefined {
  let before: AuditPlace = head?.from ?? BEGINNING;
  for (const row of rows) {
    const { hash, sequence, stack, ...fact } = row;
    const expected = link(before, stack, fact);
    if (sequence !== expected.sequence) return expected.sequence;
    if (hash !== expected.hash) return sequence;
    before = { sequence, hash };
  }
  const isWhole = before.sequence === (head?.sequence ?? 0) && before.hash === (head?.hash ?? BEGINNING.hash);
  return isWhole ? undefined : before.sequence + 1;
}

const BEGINNING: AuditPlace = { sequence: 0, hash: '' };

function link<F extends object>(before: AuditPlace, stack: StackId, fact: F): F & Linked {
  const row = { ...fact, stack, sequence: before.sequence + 1 };
  return { ...row, hash: sha256(`${before.hash}\n${canonicalJson(row)}`) };
}
