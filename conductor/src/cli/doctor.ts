/** What this machine has of what may be needed. */
import { type Check, examine } from '../doctor.ts';
import { EXIT } from '../failure.ts';
import type { CommandRun } from './command.ts';
import { LOCAL_DIR, toolEnvironment } from './input.ts';
import type { Paint } from './terminal.ts';

export const run: CommandRun = async ({ terminal, env, cwd }) => {
  const checks = await examine({
    env,
    toolEnv: toolEnvironment(env),
    cwd,
    nodeVersion: process.version,
    localDir: LOCAL_DIR,
  });
  const isWell = checks.every(({ isRequired, state }) => !isRequired || state === 'good');
  if (terminal.isJson) terminal.data(JSON.stringify({ type: 'doctor', isWell, checks }));
  else for (const check of checks) terminal.data(terminal.asTyped(lineOf(check, terminal.dataPaint)));
  return isWell ? EXIT.done : EXIT.failed;
};

function lineOf({ name, state, isRequired, found, because, purpose }: Check, paint: Paint): string {
  const mark = { good: paint.green('✓'), missing: paint.dim('–'), broken: paint.red('✗') }[state];
  const what = [found, because && paint.yellow(because)].filter(Boolean).join('; ') || state;
  const need = isRequired ? 'required' : 'optional';
  return `${mark} ${name.padEnd(WIDEST)}  ${what}  ${paint.dim(`(${need}: ${purpose})`)}`;
}

const WIDEST = 'credentials'.length;
