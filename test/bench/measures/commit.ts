/**
 * The commit of one unit's change: in a stack of 10,000 beside one of 100, each in a SQLite file of its own that is
 * synced at every commit, and what it writes beside what changed.
 *
 * What changed is what the commit was given: the line of the journal and the unit's new state, as text. What is
 * written is how far the write-ahead log grew, counted from its file; a checkpoint writes each page once more, at most.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openJournal } from '@service-director/director/deployments/journal.ts';
import { keys } from '@service-director/director/store/records.ts';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import type { Store, Write } from '@service-director/director/store/store.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { NONE } from '@service-director/shared/model/change.ts';
import { stateOf, type UnitState } from '@service-director/shared/model/state.ts';
import { holdStack, STACK } from '../deployment-run.ts';
import { figureOf, type Measure } from '../measure.ts';
import { unitsOf } from '../memory-cloud.ts';
import { compare, inTurn, median } from '../sample.ts';
import type { Workshop } from '../workshop.ts';

const LARGE = 10_000;
const SMALL = 100;
const TIMES = 1_000;
const WARM_UP = 100;
/** Of which the bytes are counted. */
const COUNTED = 100;

export const commit: Measure = {
  name: 'commit',
  what: `commit of 1 unit in ${LARGE}, beside 1 in ${SMALL}`,

  async run(workshop) {
    workshop.say(`Commits of one unit in ${LARGE} and in ${SMALL}, ${TIMES} of each`);
    const large = await openStack(LARGE, workshop);
    const small = await openStack(SMALL, workshop);
    try {
      const pairs = await inTurn(
        TIMES,
        () => milliseconds(large),
        () => milliseconds(small),
        WARM_UP,
      );
      const { ours, theirs, ratio } = compare(pairs);
      const [inLarge, inSmall] = [await bytesOf(large), await bytesOf(small)];
      return [
        figureOf({
          name: this.name,
          what: this.what,
          figure: ratio,
          unit: '×',
          target: { atMost: 1.2 },
          detail: `${ours.toFixed(3)} ms beside ${theirs.toFixed(3)} ms, medians of ${TIMES}`,
        }),
        figureOf({
          name: `${this.name}.bytes`,
          what: `the same, bytes written beside bytes changed`,
          figure: inLarge.written / inLarge.changed,
          unit: '×',
          target: { atMost: 3 },
          detail: `${inLarge.written} B of log for ${inLarge.changed} B in ${LARGE}, ${inSmall.written} B for ${inSmall.changed} B in ${SMALL}; the whole stack is ${(large.bytes / 1e6).toFixed(1)} MB`,
        }),
      ];
    } finally {
      await large.close();
      await small.close();
    }
  },
};

interface Stack {
  /** Of all units, as text. */
  readonly bytes: number;
  /** Writes the change of one unit, each time of another. */
  change(): Promise<void>;
  /** How many bytes the last commit was given. */
  changed(): number;
  /** Makes the write-ahead log empty. */
  checkpoint(): void;
  /** How long it is. Bytes. */
  logged(): number;
  close(): Promise<void>;
}

async function openStack(size: number, workshop: Workshop): Promise<Stack> {
  const path = join(workshop.folder('store'), 'state.sqlite');
  const store = sqliteStore({ path });
  const states = unitsOf(Array.from({ length: size }, () => [])).map((unit) =>
    described(stateOf(unit, {}), 0),
  );
  await store.commit(
    states.map((value) => ({ type: 'put', key: keys.unit(STACK, value.id), value, if: 'absent' })),
  );
  let given: readonly Write[] = [];
  const noting: Store = {
    ...store,
    commit(writes) {
      given = writes;
      return store.commit(writes);
    },
  };
  const { tenure, close } = await holdStack(noting);
  const journal = openJournal({
    tenure,
    states: new Map(states.map((state) => [state.id, state])),
    clock: systemClock,
    announce() {},
    isLeaving: () => false,
  });
  const other = new DatabaseSync(path);
  let round = 0;
  return {
    bytes: states.reduce((sum, state) => sum + JSON.stringify(state).length, 0),
    async change() {
      // Far apart: no two in a row on one page.
      const state = states[(++round * STEP) % size];
      if (!state) throw new Error('There is no such unit');
      await journal.finish(state.id, DONE, described(state, round), 1);
    },
    changed: () => given.reduce((sum, write) => sum + bytesIn(write), 0),
    checkpoint: () => void other.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get(),
    logged: () => statSync(`${path}-wal`).size,
    async close() {
      await close();
      other.close();
      await store.close();
    },
  };
}

/** Has no divisor in common with the sizes. */
const STEP = 37;
const DONE = { status: 'done', change: NONE, outputs: {} } as const;

/** About as much as is known of a resource: half a kilobyte. */
function described(state: UnitState, round: number): UnitState {
  const labels = { 'managed-by': 'service-director', 'sd-scope': 'bench', round: String(round) };
  return { ...state, spec: { ...state.spec, labels, text: 't'.repeat(160) } };
}

function bytesIn(write: Write): number {
  return write.type === 'put' ? Buffer.byteLength(write.key.id + JSON.stringify(write.value)) : 0;
}

async function milliseconds(stack: Stack): Promise<number> {
  const started = performance.now();
  await stack.change();
  return performance.now() - started;
}

/** Medians. */
async function bytesOf(stack: Stack): Promise<{ readonly written: number; readonly changed: number }> {
  const written: number[] = [];
  const changed: number[] = [];
  for (let turn = 0; turn < COUNTED; turn++) {
    stack.checkpoint();
    await stack.change();
    written.push(stack.logged());
    changed.push(stack.changed());
  }
  return { written: median(written), changed: median(changed) };
}
