/** Planted bugs: what somebody might have written instead. None of it is ever in the product. */
import type { Patch } from '../crew.ts';

export interface Mutant {
  readonly name: string;
  /** What the director does wrong. */
  readonly what: string;
  readonly by: 'simulation' | 'checker';
  readonly patches: readonly Patch[];
}

const RUN = 'director/src/protocol/run.ts';
const INBOX = 'director/src/protocol/inbox.ts';
const RELAY = 'director/src/protocol/relay.ts';
const INTAKE = 'director/src/commands/intake.ts';
const DEPLOYMENT = 'director/src/deployments/deployment.ts';
const CONCLUSION = 'director/src/deployments/conclusion.ts';
const COORDINATOR = 'director/src/deployments/coordinator.ts';
const JOURNAL = 'director/src/deployments/journal.ts';
const OUTBOX = 'director/src/deployments/outbox.ts';
const SHARING = 'director/src/deployments/sharing.ts';
const AUDIT = 'director/src/store/audit.ts';
const APPLY = 'shared/src/engine/apply.ts';
const DRIVE = 'shared/src/engine/drive.ts';
const NATIVE = 'shared/src/engine/native.ts';
const PLAN = 'shared/src/engine/plan.ts';
const RECONCILE = 'shared/src/engine/reconcile.ts';
const WALK = 'shared/src/engine/walk.ts';

export const MUTANTS: readonly Mutant[] = [
  bug('ack-before-ledger', 'a command is acknowledged while it is still being written down', [
    [INTAKE, 'await store.commit(ask.writes);', 'void store.commit(ask.writes).catch(() => {});'],
  ]),
  bug('ack-unwritten', 'a command is acknowledged though the ledger could not be written', [
    [
      INBOX,
      "case 'unwritable':\n      return ask(inbox, { type: 'give-back' });",
      "case 'unwritable':\n      return ask(inbox, asked.type === 'commit' ? { type: 'acknowledge', record: asked.record, isNew: true } : { type: 'give-back' });",
    ],
  ]),
  bug('row-unconditional', 'the row of a command is written over one that is there', [
    [INBOX, "value: record, if: 'absent' };", "value: record, if: 'any' };"],
  ]),
  bug('unfenced-commit', 'what is noted is written whoever has the stack by now', [
    [
      RUN,
      ": { type: 'check', key: stackKey, if: condition };",
      ": { type: 'check', key: keys.lock('no/body'), if: 'absent' };",
    ],
  ]),
  bug('unfenced-stack', 'a lease is written over whatever lease is there', [
    [RUN, 'value: more.stack, if: condition }', "value: more.stack, if: 'any' }"],
  ]),
  bug('lease-clock-trusted', 'whoever believes that the lease is still his writes without a condition', [
    [
      RUN,
      "const condition = held.stackVersion === 0 ? 'absent' : held.stackVersion;",
      "const condition = held.stackVersion === 0 ? 'absent' : held.stack.lease?.holder.id === identity.holder.id ? 'any' : held.stackVersion;",
    ],
  ]),
  bug('two-at-once', 'a stack that somebody works on is claimed for another deployment', [
    [
      RUN,
      'lease.holder.id !== holder.id && !holderIsGone)',
      'lease.holder.id !== holder.id && lease.deployment === deployment && !holderIsGone)',
    ],
    [
      RUN,
      'if (current !== undefined) return current !== deployment;',
      'if (current === deployment) return false;',
    ],
  ]),
  bug('current-not-set', 'a claim does not say what was begun: another deployment begins over half of it', [
    [RUN, 'lease: fresh, current: deployment }', 'lease: fresh }'],
    [
      COORDINATOR,
      'const current = found?.value.current ?? found?.value.lease?.deployment;',
      'const current = found?.value.current;',
    ],
    [
      RUN,
      'const current = stack?.value.current ?? lease?.deployment;',
      'const current = stack?.value.current;',
    ],
  ]),
  bug('no-token-growth', 'a claim has the token of the one before it', [
    [RUN, 'token: before.token + 1', 'token: before.token'],
  ]),
  bug('queue-row-removed-early', 'a deployment leaves the queue when it is begun', [
    [
      RUN,
      "writes: [{ type: 'check', key: keys.lock(run.identity.stack), if: lock ? lock.version : 'absent' }],",
      "writes: [{ type: 'check', key: keys.lock(run.identity.stack), if: lock ? lock.version : 'absent' }, { type: 'delete', key: keys.queue(record.value), if: 'any' }],",
    ],
  ]),
  bug('late-success', 'a deployment that was told to stop ends as it would have', [
    [RUN, "if (!cancel || ending.type === 'leave') return ending;", 'if (ending) return ending;'],
  ]),
  bug('cancel-overwritten', 'a word to stop is read, and written over', [
    [RUN, 'const cancel = found.value.cancel;', 'const cancel: Word | undefined = undefined;'],
  ]),
  bug('publish-before-commit', 'the last word is published while it is being committed', [
    [
      OUTBOX,
      '  return {\n    send,',
      '  return {\n    early(writes) {\n      for (const { type, key, value } of writes) if (type === "put" && key.collection === "outbox") void bus.publish(value.topic, value).catch(() => {});\n    },\n    send,',
    ],
    [
      COORDINATOR,
      'written = outboxIds(conclusion.writes);',
      'written = outboxIds(conclusion.writes);\n          outbox.early(conclusion.writes);',
    ],
  ]),
  bug('forget-before-publish', 'a row of the outbox is forgotten, and then published', [
    [
      RELAY,
      "return ask({ ...relay, version: event.row.version }, { type: 'publish', row: event.row.value });",
      "return ask({ ...relay, row: event.row.value }, { type: 'forget', write: { type: 'delete', key: keys.outbox(relay.id), if: event.row.version } });",
    ],
    [
      RELAY,
      "case 'forgotten':\n      return ask(relay, { type: 'over' });",
      "case 'forgotten':\n      return ask(relay, { type: 'publish', row: relay.row });",
    ],
    [
      RELAY,
      "case 'published':\n",
      "case 'published':\n      if (relay.row) return ask(relay, { type: 'over' });\n",
    ],
  ]),
  bug('outbox-not-recovered', 'what another process left in the outbox stays there', [
    [COORDINATOR, 'await outbox.recover();', ''],
  ]),
  bug('answer-rebuilt', 'an answer that is given again has the time of the retry', [
    [OUTBOX, 'time: record.endedAt ?? timestamp(now),', 'time: timestamp(now),'],
  ]),
  bug('act-before-intent', 'a call is made while its intent is being written', [
    [DRIVE, 'await reach.record(asked.action);', 'void reach.record(asked.action).catch(() => {});'],
  ]),
  bug('begun-dropped', 'whoever goes on does not know what was begun before him', [
    [JOURNAL, 'begun.add(entry.unit);', ''],
  ]),
  bug('begun-forgotten', 'what a call that failed may have made belongs to nobody', [
    [
      APPLY,
      'return touched.has(unit.id) ? halfDone(stateOf(desiredUnit, {}, known), prior) : prior;',
      'return prior;',
    ],
  ]),
  bug('removal-forgotten', 'what could not be removed is forgotten', [
    [APPLY, 'if (!prior || isGone) return undefined;', 'if (Object(prior)) return undefined;'],
  ]),
  bug('finish-before-state', 'a unit counts as done while that is still being written', [
    [
      APPLY,
      'await request.journal.finish(unit.id, outcome, stateAfter(unit, outcome), seconds);',
      'void request.journal.finish(unit.id, outcome, stateAfter(unit, outcome), seconds).catch(() => {});',
    ],
  ]),
  bug('timeout-is-success', 'a call whose answer is lost counts as done', [
    [
      RECONCILE,
      'if (kind === undefined || spent(state, kind)) return fail(state, error);',
      "if (error.reason === 'unknown-outcome' && during !== undefined) return finish(state, { status: 'done', change: state.change, outputs: {} });\n  if (kind === undefined || spent(state, kind)) return fail(state, error);",
    ],
  ]),
  {
    ...bug('timeout-is-failure', 'a call whose answer is lost counts as failed', [
      [
        RECONCILE,
        'if (kind === undefined || spent(state, kind)) return fail(state, error);',
        "if (kind === undefined || spent(state, kind) || error.reason === 'unknown-outcome') return fail(state, error);",
      ],
    ]),
    by: 'checker',
  },
  {
    ...bug('exists-is-failure', 'a create that finds its thing there already counts as failed', [
      [
        RECONCILE,
        "if (during === 'create' && error.reason === 'already-exists')",
        "if (during === 'create' && error.reason === 'already-exists') return fail(state, error);\n  if (during === 'create' && error.reason === 'already-exists')",
      ],
    ]),
    by: 'checker',
  },
  bug('random-name', 'each try to make something gives it another name', [
    [
      NATIVE,
      'function bind({ unit, spec, prior }: Work, { cloud, region }: EngineContext): Resource {\n    return world.kindOf(unit.kind).bind(spec,',
      "function bind({ unit, spec, prior }: Work, { cloud, region, random }: EngineContext): Resource {\n    return world.kindOf(unit.kind).bind(unit.kind === 'grants' ? spec : { ...spec, name: spec.name + '-' + Math.floor(1e6 * random()) },",
    ],
  ]),
  bug('stranger-adopted', 'a thing of that name counts as ours, whoever made it', [
    [
      RECONCILE,
      "if (owner === 'unmarked') return undefined;",
      "if (owner === 'unmarked' || owner === 'foreign') return undefined;",
    ],
  ]),
  bug('approval-unbound', 'an approval counts for whatever plan there is by then', [
    [DEPLOYMENT, 'if (plan.hash === hash) return plan;', 'if (hash) return plan;'],
  ]),
  bug('version-skipped', 'a new version leaves a number out', [
    [DEPLOYMENT, '? before.version + 1 : undefined', '? before.version + 2 : undefined'],
  ]),
  bug('version-pruned-early', 'one version less is kept than is promised', [
    [DEPLOYMENT, 'const oldest = version - retention - 1;', 'const oldest = version - retention;'],
  ]),
  bug('rollback-to-wrong-version', 'a rollback brings back the version that there is', [
    [DEPLOYMENT, 'record.toVersion ?? stack.version - 1', 'stack.version'],
  ]),
  bug('siblings-unseen', 'of two deployments that end at once neither sees that the other has', [
    [
      CONCLUSION,
      "{ type: 'put', key: keys.command(id), value: record, if: found.version },",
      "{ type: 'put', key: keys.command(id), value: record, if: 'any' },",
    ],
  ]),
  bug('leaving-unmarked', 'of two that give something up at once each leaves it for the other', [
    [SHARING, 'if (mine) await note(state.id, { ...mine.value, leaving });', ''],
  ]),
  bug('joiner-ignored', 'what is given up is removed though somebody is about to use it', [
    [SHARING, 'if (joiner) return', "if (joiner?.id === '') return"],
    [SHARING, 'const [first] = await leavers(ids, record, store);', 'const [first] = [] as ShareRecord[];'],
  ]),
  bug('protected-deleted', 'a plan lets go what is protected', [
    [
      PLAN,
      'const reason = state.protection ?? keep.get(state.id) ?? engine.stays(state.kind);',
      'const reason = keep.get(state.id) ?? engine.stays(state.kind);',
    ],
  ]),
  bug('trail-unconditional', 'a fact is added to the audit trail as it was a moment ago', [
    [AUDIT, "value: row, if: 'absent' };", "value: row, if: 'any' };"],
    [AUDIT, "value, if: found?.version ?? 'absent' }];", "value, if: 'any' }];"],
  ]),
  bug('walk-starts-early', 'a unit is begun when the first of what it needs has ended', [
    [WALK, 'pending[place] = (pending[place] ?? 0) + 1;', 'pending[place] = 1;'],
  ]),
];

function bug(
  name: string,
  what: string,
  patches: readonly (readonly [file: string, find: string, replace: string])[],
): Mutant {
  return {
    name,
    what,
    by: 'simulation',
    patches: patches.map(([file, find, replace]) => ({ file, find, replace })),
  };
}
