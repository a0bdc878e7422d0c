/** Where the director is, how it is, what it writes. */
import { type DirectorStatus, demandReachable } from '../director-status.ts';
import { EXIT, type ExitCode } from '../failure.ts';
import type { Conductor } from '../index.ts';
import type { CommandInput, CommandRun } from './command.ts';
import { architectureAt } from './input.ts';
import { showLogs } from './logs.ts';
import { withLook } from './look.ts';
import type { Paint } from './terminal.ts';

export const run: CommandRun = (input) => {
  switch (input.words[0]) {
    case 'url':
      return url(input);
    case 'status':
      return status(input);
    default:
      return showLogs(input, undefined, 1);
  }
};

export function directorLine(
  { name, state, because, url: at, version, revision }: DirectorStatus,
  paint: Paint,
): string {
  const colour = state === 'ready' ? paint.green : paint.red;
  return [
    [paint.bold('director'), name].filter(Boolean).join(' '),
    colour(state),
    at && paint.cyan(at),
    version && `version ${version}`,
    revision && paint.dim(revision),
    because && paint.yellow(because),
  ]
    .filter(Boolean)
    .join('  ');
}

/** Of an architecture, or at its URL, or on the local cloud. */
function atDirector(
  input: CommandInput,
  work: (conductor: Conductor) => Promise<ExitCode>,
): Promise<ExitCode> {
  return withLook(input, 1, work, { architecture: architectureAt(input, 1) });
}

/** For scripts: nothing but the URL. */
function url(input: CommandInput): Promise<ExitCode> {
  const { terminal } = input;
  return atDirector(input, async (conductor) => {
    const director = await conductor.director();
    // One that does not answer has a URL all the same.
    const at = director.url ?? demandReachable(director);
    terminal.data(terminal.isJson ? JSON.stringify({ type: 'director', url: at }) : at);
    return EXIT.done;
  });
}

function status(input: CommandInput): Promise<ExitCode> {
  const { terminal } = input;
  return atDirector(input, async (conductor) => {
    const director = await conductor.director();
    terminal.data(
      terminal.isJson
        ? JSON.stringify({ type: 'director', ...director })
        : directorLine(director, terminal.dataPaint),
    );
    if (director.state === 'ready') return EXIT.done;
    return director.state === 'not-ready' ? EXIT.failed : EXIT.unreachable;
  });
}
