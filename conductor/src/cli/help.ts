/** The help, made of what the commands say about themselves. */
import type { CliCommand } from './command.ts';
import { commands } from './commands.ts';

export function generalHelp(): string {
  const width = Math.max(...Object.values(commands).map(({ usage }) => usage.length));
  const lines = Object.values(commands).map(({ usage, summary }) => `  ${usage.padEnd(width)}  ${summary}`);
  return [
    'conductor: stands architectures up on Google Cloud, through a director that lives in your project',
    '',
    'Usage: conductor COMMAND [FILE] [OPTIONS]',
    '',
    ...lines,
    '',
    'FILE is an architecture, or a folder with an architecture.yaml (default: the current folder).',
    'conductor COMMAND --help tells more of one.',
    '',
    'Exit codes: 0 done, 1 failed, 2 changes (plan --detailed-exitcode), 64 usage, 65 invalid architecture,',
    '69 director or cloud unreachable, 77 permission missing, 124 timed out, 130 interrupted.',
    '',
  ].join('\n');
}

export function commandHelp({ usage, summary, options }: CliCommand): string {
  const names = Object.entries(options).map(([name, { value, short }]) => {
    const long = `--${name}${value === undefined ? '' : ` ${value}`}`;
    return short === undefined ? long : `-${short}, ${long}`;
  });
  const width = Math.max(0, ...names.map((name) => name.length));
  const lines = Object.values(options).map(
    ({ help }, index) => `  ${(names[index] ?? '').padEnd(width)}  ${help}`,
  );
  return [`conductor ${usage}`, '', summary, ...(lines.length > 0 ? ['', ...lines] : []), ''].join('\n');
}
