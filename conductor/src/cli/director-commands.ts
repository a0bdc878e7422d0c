/** The commands that ask a director, or tell it what to do. Those of `desk` take its URL in the place of an architecture. */
import { DEPLOYMENT_STATUSES } from '@service-director/shared/contract/status.ts';
import type { CliCommand, CliOption } from './command.ts';
import { asked, deciding, desk, reason, running, wishes } from './options.ts';

const planHash: CliOption = {
  type: 'string',
  value: 'HASH',
  help: 'of the plan that you read: another one is not approved (default: as it is now)',
};

const toVersion: CliOption = { type: 'string', value: 'N', help: 'which one (default: the one before)' };

export const directorCommands = {
  deployments: {
    usage: 'deployments [get|logs|approve|reject|cancel|rollback ID] [FILE]',
    summary: 'List deployments, newest first; show one, or its journal; approve, reject, cancel or undo one',
    words: ['get', 'logs', 'approve', 'reject', 'cancel', 'rollback'],
    isWordOptional: true,
    options: {
      ...desk,
      timeout: {
        ...desk.timeout,
        help: `${desk.timeout.help}; for approve, reject and cancel 5m, for rollback 30m`,
      },
      stack: {
        type: 'string',
        value: 'NAME',
        help: 'only of this dataflow, or of any stack by its whole name',
      },
      status: {
        type: 'string',
        value: 'NAME',
        choices: DEPLOYMENT_STATUSES,
        help: `only in this status (${DEPLOYMENT_STATUSES.join(', ')})`,
      },
      limit: { type: 'string', value: 'N', help: 'how many, the newest (default 20)' },
      after: { type: 'string', value: 'PLACE', help: 'only older ones, from where a list before this ended' },
      follow: { type: 'boolean', short: 'f', help: 'with logs: go on until it has ended' },
      reason: { ...reason, help: 'with approve, reject, cancel, rollback: why, for the history' },
      'plan-hash': { ...planHash, help: `with approve, reject: ${planHash.help}` },
      'to-version': { ...toVersion, help: `with rollback: ${toVersion.help}` },
      'dry-run': { type: 'boolean', help: 'with rollback: only say what would be done' },
      ...wishes,
    },
    load: () => import('./deployments.ts'),
  },
  history: {
    usage: 'history DATAFLOW [FILE]',
    summary: 'The versions of the state of a dataflow, newest first, and which can be restored',
    options: {
      ...desk,
      limit: { type: 'string', value: 'N', help: 'how many, the newest (default 10)' },
    },
    load: () => import('./history.ts'),
  },
  state: {
    usage: 'state DATAFLOW [FILE]',
    summary: 'What a dataflow has, its version, who has locked it, who waits',
    options: {
      ...desk,
      audit: { type: 'boolean', help: 'who asked for what instead, and whether that account is whole' },
      limit: { type: 'string', value: 'N', help: 'with --audit: how many rows, the newest (default 100)' },
    },
    load: () => import('./state.ts'),
  },
  approve: {
    usage: 'approve DEPLOYMENT [FILE]',
    summary: 'Approve the plan of a deployment that waits for it, or reject it',
    options: {
      ...deciding,
      reject: { type: 'boolean', help: 'reject it: nothing of it is done' },
      reason,
      'plan-hash': planHash,
    },
    load: () => import('./approve.ts'),
  },
  cancel: {
    usage: 'cancel ID [FILE]',
    summary: 'Tell a deployment to stop; what is done stays',
    options: {
      ...deciding,
      command: { type: 'boolean', help: 'the ID is of a command: all of its deployments' },
      reason,
    },
    load: () => import('./cancel.ts'),
  },
  rollback: {
    usage: 'rollback DATAFLOW [FILE]',
    summary: 'Bring a dataflow back to an earlier version, and say what cannot be restored',
    options: {
      ...desk,
      timeout: running.timeout,
      deployment: { type: 'boolean', help: 'the name is the id of a deployment: what it did is undone' },
      'to-version': toVersion,
      reason: { ...reason, help: 'why, for the history; it has to be given' },
      ...wishes,
      'dry-run': { type: 'boolean', help: 'only say what would be done' },
    },
    load: () => import('./rollback.ts'),
  },
  drift: {
    usage: 'drift DATAFLOW [FILE]',
    summary: 'Say what somebody else has changed since it was applied, or put it back',
    options: {
      ...desk,
      timeout: running.timeout,
      repair: { type: 'boolean', help: 'put back what was changed' },
      'detailed-exitcode': { type: 'boolean', help: 'exit with 2 when anything was changed' },
      reason: { ...reason, help: 'why, for the history' },
      ...wishes,
    },
    load: () => import('./drift.ts'),
  },
  lock: {
    usage: 'lock DATAFLOW [FILE]',
    summary: 'Lock a dataflow by hand; prints the id that gives the lock back',
    options: {
      ...deciding,
      operation: { type: 'string', value: 'NAME', help: 'what it is held for (default manual)' },
      reason,
      who: { type: 'string', value: 'NAME', help: 'on whose behalf, where it is not you' },
    },
    load: () => import('./lock.ts'),
  },
  unlock: {
    usage: 'unlock DATAFLOW [FILE]',
    summary: 'Give a lock back, or take it away',
    options: {
      ...deciding,
      'lock-id': { type: 'string', value: 'ID', help: 'what lock printed' },
      force: { type: 'boolean', help: 'take away a lock of somebody else, or of a deployment' },
      reason: { ...reason, help: 'why; --force wants it' },
    },
    load: () => import('./unlock.ts'),
  },
  events: {
    usage: 'events [FILE]',
    summary: 'What the director has done, newest last',
    options: {
      ...asked,
      follow: { type: 'boolean', short: 'f', help: 'go on as it happens' },
      limit: { type: 'string', value: 'N', help: 'of how many commands, the newest (default 50)' },
    },
    load: () => import('./events.ts'),
  },
  director: {
    usage: 'director url|status|logs [FILE]',
    summary: 'Where the director is, how it is, what it writes',
    words: ['url', 'status', 'logs'],
    options: {
      ...asked,
      follow: { type: 'boolean', short: 'f', help: 'with logs: go on as it is written' },
      limit: { type: 'string', value: 'N', help: 'with logs: how many lines (default 100)' },
    },
    load: () => import('./director.ts'),
  },
} as const satisfies Record<string, CliCommand>;
