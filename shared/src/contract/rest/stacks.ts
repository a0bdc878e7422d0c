/** The routes of stacks. */
import { z } from 'zod';
import { AuditTrail, History, ReadTrail, StackState } from '../state.ts';
import { RECEIPTS } from './commands.ts';
import { Nothing, route } from './route.ts';
import { CommandHeaders, count, ReadHeaders, StackList, StackPath, StackQuery } from './schemas.ts';

const Reason = z.string().trim().min(1).max(1_000);

const LockBody = z
  .strictObject({
    /** What it is held for: `apply`, `maintenance`. */
    operation: z.string().trim().min(1).max(100).optional(),
    /** On whose behalf, where that is not whoever asks. */
    who: z.string().trim().min(1).max(200).optional(),
    reason: Reason.optional(),
  })
  .default({});

const UnlockBody = z.strictObject({
  lock_id: z.string().min(1).max(200).optional(),
  /** Takes away a lock of which the id is not known, or that a deployment holds; says why. */
  force: z.boolean().optional(),
  reason: Reason.optional(),
});

const DriftBody = z
  .strictObject({
    reason: Reason.default('a look for drift'),
    /** Puts back what was changed; needs whatever approval a deployment there needs. */
    repair: z.boolean().default(false),
    auto_approve: z.boolean().optional(),
  })
  .prefault({});

const one = { tag: 'stacks', params: StackPath } as const;

export const STACK_ROUTES = {
  listStacks: route({
    method: 'get',
    path: '/v1/stacks',
    tag: 'stacks',
    summary: 'The stacks that there are, by name',
    query: StackQuery,
    answers: { 200: { description: 'A page of them.', schema: StackList } },
    problems: [400],
  }),
  getStack: route({
    ...one,
    method: 'get',
    path: '/v1/stacks/{scope}/{dataflow}',
    summary: 'The state of a stack: its units, its lock, its queue',
    headers: ReadHeaders,
    answers: {
      200: {
        description: 'The state.',
        schema: StackState,
        headers: { ETag: 'Of what is told; another one when anything is new.' },
      },
      304: { description: 'Nothing is new.', schema: Nothing },
    },
    problems: [400, 404],
  }),
  getStackHistory: route({
    ...one,
    method: 'get',
    path: '/v1/stacks/{scope}/{dataflow}/history',
    summary: 'Its versions, newest first, with what each changed',
    query: z.strictObject({ limit: count(1_000, 10) }),
    answers: { 200: { description: 'The newest versions.', schema: History } },
    problems: [400, 404],
  }),
  getStackAudit: route({
    ...one,
    method: 'get',
    path: '/v1/stacks/{scope}/{dataflow}/audit',
    summary: 'Its audit trail: who asked, who approved, what changed',
    query: z.strictObject({ limit: count(10_000, 100) }),
    answers: { 200: { description: 'The newest rows, oldest first.', schema: AuditTrail } },
    problems: [400, 404],
  }),
  getStackReads: route({
    ...one,
    method: 'get',
    path: '/v1/stacks/{scope}/{dataflow}/reads',
    summary: 'Who has read its state, its versions and its audit trail, and when',
    query: z.strictObject({ limit: count(10_000, 100) }),
    answers: { 200: { description: 'The newest rows, oldest first.', schema: ReadTrail } },
    problems: [400, 404],
  }),
  checkStack: route({
    ...one,
    method: 'post',
    path: '/v1/stacks/{scope}/{dataflow}/drift',
    summary:
      'Look whether anything differs from its version: a dry run whose plan is what somebody else changed',
    headers: CommandHeaders,
    body: DriftBody,
    example: { reason: 'the nightly look' },
    answers: RECEIPTS,
    problems: [400, 404, 409, 413, 415],
  }),
  lockStack: route({
    ...one,
    method: 'post',
    path: '/v1/stacks/{scope}/{dataflow}/lock',
    summary: 'Lock it: deployments that do not name the lock wait',
    headers: CommandHeaders,
    body: LockBody,
    example: { operation: 'maintenance', reason: 'the database is moved' },
    answers: RECEIPTS,
    problems: [400, 404, 409, 413, 415],
  }),
  unlockStack: route({
    ...one,
    method: 'post',
    path: '/v1/stacks/{scope}/{dataflow}/unlock',
    summary: 'Unlock it',
    headers: CommandHeaders,
    body: UnlockBody,
    example: { lock_id: 'c9' },
    answers: RECEIPTS,
    problems: [400, 404, 409, 413, 415],
  }),
} as const;
