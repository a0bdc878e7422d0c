import { PRIORITIES } from '@service-director/shared/contract/command.ts';
import { expect, test } from 'vitest';
import { readArgs } from './args.ts';
import type { CommandInput } from './command.ts';
import { commands } from './commands.ts';
import { wishesOf } from './input.ts';
import { testTerminal } from './testing.ts';

function inputOf(...argv: string[]): CommandInput {
  const parsed = readArgs(argv);
  if ('help' in parsed) throw new Error('help was asked for');
  const { terminal } = testTerminal();
  return { ...parsed, terminal, env: {}, cwd: '/', commands };
}

test('the director is told no more than was typed', () => {
  expect(wishesOf(inputOf('up'))).toEqual({});
  const all = [
    '--auto-approve',
    '--on-failure',
    'rollback',
    '--lock-id',
    'l',
    '--priority',
    'low',
    '--reason',
    'r',
  ];
  expect(wishesOf(inputOf('down', ...all))).toEqual({
    auto_approve: true,
    on_failure: 'rollback',
    lock_id: 'l',
    priority: 'low',
    reason: 'r',
  });
});

test('the priorities that are offered are those that there are', () => {
  for (const { options } of [commands.up, commands.down, commands.rollback])
    expect(options.priority.choices).toEqual(PRIORITIES);
});
