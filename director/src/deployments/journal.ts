/** The journal of one deployment while it is worked on: what was intended and done becomes durable, then is told. */
import type { DirectorEvent } from '@service-director/shared/contract/event.ts';
import type { Journal, Progress, UnitOutcome } from '@service-director/shared/engine/apply.ts';
import type { ToolLine } from '@service-director/shared/engine/engine.ts';
import type { Plan } from '@service-director/shared/engine/plan.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import type { UnitId } from '@service-director/shared/model/unit.ts';
import type { Tenure } from '../protocol/drive-run.ts';
import type { DeploymentRecord, JournalEntry, VersionRecord } from '../store/records.ts';
import { lineOf, outcomeOf, summaryOf } from './report.ts';

export interface DeploymentJournal extends Journal {
  /** What this deployment changed, by unit, over all processes that worked on it. */
  changes(): VersionRecord['changes'];
  /** Whether anything was begun, now or by another process. */
  hasBegun(): boolean;
  /** Keeps the plan and goes on to apply it, unless only the plan was asked for. */
  planned(plan: Plan, change: Partial<DeploymentRecord>): Promise<void>;
  /** Tells a plan that is not kept yet. */
  tellPlan(plan: Plan): void;
  /** What is known of a unit from now on. */
  keep(unit: UnitId, state: UnitState): Promise<void>;
  /** Tells what happens, as it happens. */
  tell(progress: Progress): void;
  /** Keeps what the tool of a unit says, as it says it. */
  say(unit: UnitId, line: ToolLine): void;
}

/** Of all tools of a deployment together. */
const MOST_LINES = 5_000;

export interface JournalOptions {
  readonly tenure: Tenure;
  /** What the stack had when it was opened. */
  readonly states: ReadonlyMap<UnitId, UnitState>;
  readonly clock: Clock;
  announce(event: DirectorEvent): void;
  /** What was cut short, or not begun, because we leave is not over. */
  isLeaving(): boolean;
}

export function openJournal({
  tenure,
  states,
  clock,
  announce,
  isLeaving,
}: JournalOptions): DeploymentJournal {
  const { stack, command, id } = tenure.record;
  const changes = new Map<UnitId, { before?: UnitState; after?: UnitState }>();
  const known = new Map(states);
  const begun = new Set<UnitId>();
  const finished = new Map<UnitId, UnitOutcome>();
  let hasBegun = false;
  let said = 0;
  for (const entry of tenure.entries) {
    if (entry.type === 'intend') {
      begun.add(entry.unit);
      finished.delete(entry.unit);
    }
    if (entry.type === 'intend' || entry.type === 'finish') hasBegun = true;
    // Another plan: what was finished for an earlier one may be something else in it.
    if (entry.type === 'status' && entry.status === 'applying') finished.clear();
    if (entry.type !== 'finish') continue;
    begun.delete(entry.unit);
    const outcome = outcomeOf(entry.line, entry.after);
    if (outcome) finished.set(entry.unit, outcome);
    // What was kept, or failed without a trace, changed nothing.
    if (entry.before ?? entry.after) noteChange(entry.unit, entry.before, entry.after);
  }

  const isPostponed = ({ status }: UnitOutcome): boolean =>
    (status === 'cancelled' || status === 'skipped') && (isLeaving() || tenure.lost.aborted);

  function noteChange(unit: UnitId, before: UnitState | undefined, after: UnitState | undefined): void {
    const first = changes.has(unit) ? changes.get(unit)?.before : before;
    changes.set(unit, { ...(first ? { before: first } : {}), ...(after ? { after } : {}) });
  }

  function tellPlan(plan: Plan): void {
    announce({ type: 'planned', command, deployment: id, stack, plan: summaryOf(plan) });
  }

  function at(): { at: string } {
    return { at: timestamp(clock.now()) };
  }

  return {
    begun: () => begun,
    finished: () => finished,
    hasBegun: () => hasBegun,
    changes: () => [...changes].map(([unit, change]) => ({ unit, ...change })),

    tellPlan,

    async planned(plan, change) {
      const entries: JournalEntry[] =
        change.status === undefined ? [] : [{ ...at(), type: 'status', status: change.status }];
      await tenure.note(entries, { record: { plan, ...change } });
      tellPlan(plan);
      if (change.status !== undefined)
        announce({ type: 'status', command, deployment: id, stack, status: change.status });
    },

    async keep(unit, state) {
      await tenure.note([], { units: [{ unit, state }] });
      known.set(unit, state);
    },

    intend(unit, action) {
      hasBegun = true;
      return tenure.note([{ ...at(), type: 'intend', unit, action, token: tenure.stack.token }]);
    },

    async finish(unit, outcome, after, seconds) {
      if (isPostponed(outcome)) return;
      const before = known.get(unit);
      const isNews = contentOf(before) !== contentOf(after);
      const line = lineOf(unit, outcome);
      if (!isNews && line.result === 'unchanged') return;
      const change = changeOf(before, after);
      const entry: JournalEntry = { ...at(), type: 'finish', unit, line, seconds, ...change };
      const changedAt = change ? clock.now() : (before?.changedAt ?? 0);
      const row = { unit, state: after && { ...after, changedAt } };
      await tenure.note([entry], isNews ? { units: [row] } : {});
      if (change) noteChange(unit, change.before, change.after);
      if (after) known.set(unit, after);
      else known.delete(unit);
    },

    say(unit, line) {
      said++;
      if (said > MOST_LINES) return;
      const last = { level: 'warning', message: 'No more lines are kept of this deployment' } as const;
      const entry = { ...at(), type: 'log', unit, ...(said === MOST_LINES ? last : line) } as const;
      // A failure to keep it shows at the next note.
      tenure.note([entry]).catch(() => {});
    },

    tell(progress) {
      const { unit } = progress;
      switch (progress.type) {
        case 'unit-started':
          announce({ type: 'unit-started', command, stack, unit, change: progress.change });
          return;
        case 'unit-waiting':
          // Told, and kept where it can be read later; a failure to keep it shows at the next note.
          tenure.note([{ ...at(), type: 'waiting', unit, because: progress.because }]).catch(() => {});
          announce({ type: 'unit-waiting', command, stack, unit, because: progress.because });
          return;
        case 'unit-finished': {
          if (isPostponed(progress.outcome)) return;
          const { result, because } = lineOf(unit, progress.outcome);
          if (result === 'unchanged') return;
          const why = because === undefined ? {} : { because };
          const { seconds } = progress;
          announce({ type: 'unit-finished', command, stack, unit, result, seconds, ...why });
        }
      }
    },
  };
}

/** What it was and what it is, as a version tells it; undefined where that is the same. */
function changeOf(
  before: UnitState | undefined,
  after: UnitState | undefined,
): { readonly before?: UnitState; readonly after?: UnitState } | undefined {
  const [was, is] = [kept(before), kept(after)];
  if (contentOf(was) === contentOf(is)) return undefined;
  return { ...(was ? { before: was } : {}), ...(is ? { after: is } : {}) };
}

/** Without the marks that it is being given up, or was not seen whole: these are no version's. */
function kept<State extends UnitState | undefined>(state: State): State {
  if (!state) return state;
  const { leaving: _, unsure: __, ...rest } = state;
  return rest as State;
}

/** States of the first release have no fingerprint and no time: that alone is no change. */
function contentOf(state: UnitState | undefined): string {
  return JSON.stringify({ ...state, fingerprint: undefined, changedAt: undefined });
}
