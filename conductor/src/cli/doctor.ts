/** What this machine has of what may be needed; and, where one is reached, what its director says of itself. */
import type { Doctor, Finding } from '@service-director/shared/contract/rest/director.ts';
import { type Check, examine } from '../doctor.ts';
import { EXIT, type ExitCode, Failure } from '../failure.ts';
import type { CommandInput, CommandRun } from './command.ts';
import { architectureAt, LOCAL_DIR, targetOf, toolEnvironment } from './input.ts';
import { withLook } from './look.ts';
import type { Paint } from './terminal.ts';

/** What a director says of itself, or why none was asked. */
type Word =
  | { readonly isAsked: true; readonly url: string; readonly doctor: Doctor }
  | {
      readonly isAsked: false;
      readonly because: string;
      readonly fix?: string | undefined;
      readonly exitCode: ExitCode;
    };

export const run: CommandRun = async (input) => {
  const { terminal, env, cwd, options } = input;
  const checks = await examine({
    env,
    toolEnv: toolEnvironment(env),
    cwd,
    nodeVersion: process.version,
    localDir: options.text('local-dir') ?? LOCAL_DIR,
  });
  const isWell = checks.every(({ isRequired, state }) => !isRequired || state === 'good');
  // What is known already need not wait for an answer.
  if (!terminal.isJson)
    for (const check of checks) terminal.data(terminal.asTyped(lineOf(check, terminal.dataPaint)));
  const word = await askDirector(input, checks);
  if (terminal.isJson)
    terminal.data(JSON.stringify({ type: 'doctor', isWell, checks, director: told(word) }));
  else for (const line of linesOf(word, terminal.dataPaint)) terminal.data(terminal.asTyped(line));
  if (!word.isAsked && word.exitCode !== EXIT.done) return word.exitCode;
  return isWell && !(word.isAsked && word.doctor.status === 'failed') ? EXIT.done : EXIT.failed;
};

/** One that was named has to answer; one that only might be there, for an architecture is here, has not. */
async function askDirector(input: CommandInput, checks: readonly Check[]): Promise<Word> {
  const { words, options } = input;
  const architecture = architectureAt(input, 0);
  const isNamed = words.length > 0 || options.flag('local') || PLACES.some((name) => options.text(name));
  if (!isNamed && architecture === undefined)
    return unasked('nothing says where one is: there is no architecture here', HOW);
  const { local, endpoint } = targetOf(input);
  const isSignedIn = checks.some(({ name, state }) => name === 'credentials' && state === 'good');
  if (!isNamed && !local && endpoint === undefined && !isSignedIn)
    return unasked('there are no credentials to look for it in Google Cloud with', HOW);
  let word: Word | undefined;
  try {
    await withLook(
      input,
      0,
      async (conductor) => {
        word = { isAsked: true, ...(await conductor.doctor()) };
        return EXIT.done;
      },
      { architecture },
    );
  } catch (error) {
    const { message, fix, exitCode } = Failure.from(error, 'asking the director');
    return unasked(message, fix, isNamed ? exitCode : EXIT.done);
  }
  return word ?? unasked('it was interrupted', undefined, EXIT.interrupted);
}

const PLACES = ['director-url', 'local-dir', 'endpoint'];
const HOW = 'name its FILE, its --director-url, or --local';

function unasked(because: string, fix: string | undefined, exitCode: ExitCode = EXIT.done): Word {
  return { isAsked: false, because, fix, exitCode };
}

function told(word: Word): object {
  if (word.isAsked) return { asked: true, url: word.url, ...word.doctor };
  return { asked: false, because: word.because, ...(word.fix === undefined ? {} : { fix: word.fix }) };
}

function linesOf(word: Word, paint: Paint): string[] {
  if (!word.isAsked)
    return [
      '',
      `${paint.bold('director')}  ${paint.yellow(`not asked: ${word.because}`)}`,
      ...(word.fix === undefined ? [] : [`  fix: ${word.fix}`]),
      '  what stands above is this machine alone; what tools, credentials, network and room a director has, and what is stuck, it says itself',
    ];
  const { url, doctor } = word;
  const { status, checks } = doctor;
  const colour = status === 'failed' ? paint.red : status === 'warning' ? paint.yellow : paint.green;
  return [
    '',
    `${paint.bold('director')}  ${paint.cyan(url)}  ${colour(status)}`,
    ...checks.flatMap((one) => findingLines(one, widestOf(checks), paint)),
  ];
}

function widestOf(checks: readonly Finding[]): number {
  return Math.max(0, ...checks.map(({ check }) => check.length));
}

function findingLines({ check, status, detail, fix }: Finding, width: number, paint: Paint): string[] {
  const mark = { ok: paint.green('✓'), warning: paint.yellow('!'), failed: paint.red('✗') }[status];
  return [
    `${mark} ${check.padEnd(width)}  ${detail}`,
    ...(fix === undefined || status === 'ok' ? [] : [`    fix: ${fix}`]),
  ];
}

function lineOf({ name, state, isRequired, found, because, purpose }: Check, paint: Paint): string {
  const mark = { good: paint.green('✓'), missing: paint.dim('–'), broken: paint.red('✗') }[state];
  const what = [found, because && paint.yellow(because)].filter(Boolean).join('; ') || state;
  const need = isRequired ? 'required' : 'optional';
  return `${mark} ${name.padEnd(WIDEST)}  ${what}  ${paint.dim(`(${need}: ${purpose})`)}`;
}

const WIDEST = 'credentials'.length;
