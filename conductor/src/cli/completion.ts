/** A script that completes these commands in a shell, made of what they say about themselves. */
import { EXIT } from '../failure.ts';
import type { CommandRun } from './command.ts';
import { bashCompletion } from './shells/bash.ts';
import { completables } from './shells/completable.ts';
import { fishCompletion } from './shells/fish.ts';
import { zshCompletion } from './shells/zsh.ts';

export const run: CommandRun = async ({ words, terminal, commands }) => {
  const [shell] = words;
  const script = shell === 'bash' ? bashCompletion : shell === 'zsh' ? zshCompletion : fishCompletion;
  terminal.data(script(completables(commands)));
  return EXIT.done;
};
