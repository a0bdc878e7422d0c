/** The routes of commands. */
import { z } from 'zod';
import { type CommandType, dataSchemaOf } from '../command.ts';
import { route } from './route.ts';
import { CommandDetail, CommandHeaders, CommandList, CommandQuery, PathId, Receipt } from './schemas.ts';

/** What a command that was sent is answered with. */
export const RECEIPTS = {
  202: {
    description: 'It is in the ledger.',
    schema: Receipt,
    headers: { Location: 'Where the command can be read.' },
  },
  200: {
    description: 'It came before under this id: its answer again.',
    schema: Receipt,
    headers: { Location: 'Where the command can be read.' },
  },
} as const;

interface About {
  readonly summary: string;
  readonly example: object;
}

function command<const Type extends CommandType>(type: Type, { summary, example }: About) {
  return route({
    method: 'post',
    path: `/v1/commands/${type}`,
    tag: 'commands',
    summary,
    headers: CommandHeaders,
    body: dataSchemaOf(type),
    example,
    answers: RECEIPTS,
    problems: [400, 409, 413, 415],
  });
}

/** One for each type: what is taken differs. */
export const COMMAND_ROUTES = {
  sendDataflowSetup: command('dataflow-setup', {
    summary: 'Set up what a dataflow stands on',
    example: { dataflow: 'orders', dry_run: true },
  }),
  sendDeploy: command('deploy', {
    summary: 'Deploy the services of a dataflow',
    example: { dataflow: 'orders', reason: 'release 7' },
  }),
  sendTeardown: command('teardown', {
    summary: 'Remove a dataflow',
    example: { dataflow: 'orders', reason: 'not needed any more' },
  }),
  sendRollback: command('rollback', {
    summary: 'Bring a stack back to an earlier version of its state',
    example: { dataflow: 'orders', to_version: 3, reason: 'version 4 loses orders' },
  }),
  sendApprove: command('approve', {
    summary: 'Approve or reject a deployment that waits for it',
    example: { deployment: 'c7.orders', plan_hash: '0123456789abcdef' },
  }),
  sendCancel: command('cancel', {
    summary: 'Cancel a deployment, or a command with all of its deployments',
    example: { deployment: 'c7.orders', reason: 'too slow' },
  }),
  sendLock: command('lock', {
    summary: 'Keep all but its holder from a stack',
    example: { dataflow: 'orders', operation: 'maintenance' },
  }),
  sendUnlock: command('unlock', {
    summary: 'Give a lock back, or take it away',
    example: { dataflow: 'orders', lock_id: 'c9' },
  }),
  listCommands: route({
    method: 'get',
    path: '/v1/commands',
    tag: 'commands',
    summary: 'The commands that came in',
    query: CommandQuery,
    answers: { 200: { description: 'A page of them.', schema: CommandList } },
    problems: [400],
  }),
  getCommand: route({
    method: 'get',
    path: '/v1/commands/{id}',
    tag: 'commands',
    summary: 'A command, and what became of it',
    params: z.strictObject({ id: PathId }),
    answers: { 200: { description: 'All that is known of it.', schema: CommandDetail } },
    problems: [400, 404],
  }),
} as const;
