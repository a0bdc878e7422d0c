/** Options of the command line as the library takes them. */
import { PRIORITIES } from '@service-director/shared/contract/command.ts';
import { Duration, secondsOf } from '@service-director/shared/model/fields.ts';
import type { Wishes } from '../context.ts';
import { isPhase, PHASES, type Phase } from '../event.ts';
import { EXIT, Failure } from '../failure.ts';
import type { ConductorOptions } from '../index.ts';
import { isArchitecture } from '../load.ts';
import type { LocalOptions } from '../local.ts';
import type { CommandInput, OptionValues } from './command.ts';

export const LOCAL_DIR = '.localcloud';

/** The architecture that a command is about: the first word, or the one at `place`; else the present folder. */
export function architectureOf({ words }: CommandInput, place = 0): string {
  return words[place] ?? '.';
}

/** The same, for what needs none where it has a director's URL: undefined where none was named and none is here. */
export function architectureAt({ words, cwd }: CommandInput, place: number): string | undefined {
  return words[place] ?? (isArchitecture('.', cwd) ? '.' : undefined);
}

/** What all commands about an architecture have in common. */
export function targetOf(input: CommandInput, place = 0): ConductorOptions {
  const { options, env, cwd } = input;
  const given = (name: string): string | undefined => options.text(name);
  const endpoint = given('endpoint') ?? env.SERVICE_DIRECTOR_CLOUD_ENDPOINT;
  return {
    architecture: architectureOf(input, place),
    environment: given('environment'),
    cwd,
    environmentVariables: toolEnvironment(env),
    ...(options.flag('local') || given('local-dir') !== undefined
      ? { local: localOf(options) }
      : endpoint === undefined
        ? {}
        : { endpoint: urlOf('endpoint', endpoint) }),
  };
}

/** What commands that run something have beside. */
export function runOf({ options }: CommandInput): Partial<ConductorOptions> {
  const timeout = options.text('timeout');
  const concurrency = options.text('concurrency');
  const directorUrl = options.text('director-url');
  return {
    dataflow: options.text('dataflow'),
    ...(directorUrl === undefined ? {} : { directorUrl: urlOf('director-url', directorUrl) }),
    ...(timeout === undefined ? {} : { timeoutSeconds: durationOf('timeout', timeout) }),
    ...(concurrency === undefined ? {} : { concurrency: numberOf('concurrency', concurrency, 1, 1_000) }),
  };
}

/** What may become of a deployment that failed half-way. */
const ON_FAILURE = ['keep', 'rollback'] as const;

/** How what the director is told is to be done: nothing for what was not typed, so that the director decides. */
export function wishesOf({ options }: CommandInput): Wishes {
  const onFailure = choiceOf(options, 'on-failure', ON_FAILURE);
  const priority = choiceOf(options, 'priority', PRIORITIES);
  const [lock, reason] = [options.text('lock-id'), options.text('reason')];
  return {
    ...(options.flag('auto-approve') ? { auto_approve: true } : {}),
    ...(onFailure === undefined ? {} : { on_failure: onFailure }),
    ...(lock === undefined ? {} : { lock_id: lock }),
    ...(priority === undefined ? {} : { priority }),
    ...(reason === undefined ? {} : { reason }),
  };
}

export function choiceOf<Choice extends string>(
  options: OptionValues,
  name: string,
  choices: readonly Choice[],
): Choice | undefined {
  const text = options.text(name);
  const choice = choices.find((one) => one === text);
  if (text !== undefined && choice === undefined)
    throw usage(`--${name} ${text}: there is no such choice`, `it can be ${choices.join(', ')}`);
  return choice;
}

/** The word at that place, which there must be. */
export function demandWord({ words }: CommandInput, place: number, what: string, how: string): string {
  const word = words[place];
  if (word === undefined) throw usage(`${what} is missing`, how);
  return word;
}

export function localOf(options: OptionValues, dir = options.text('local-dir') ?? LOCAL_DIR): LocalOptions {
  const [port, propagation, seed] = [options.text('port'), options.text('propagation'), options.text('seed')];
  return {
    dir,
    port: port === undefined ? undefined : numberOf('port', port, 1, 65_535),
    propagationMs: propagation === undefined ? undefined : durationOf('propagation', propagation, 0) * 1000,
    seed: seed === undefined ? undefined : numberOf('seed', seed, 0, 2 ** 32 - 1),
    faults: options.text('faults'),
    project: options.text('project'),
  };
}

export function phasesOf(options: OptionValues, name: 'only' | 'skip'): readonly Phase[] | undefined {
  const given = options.texts(name).flatMap((text) => text.split(','));
  if (given.length === 0) return undefined;
  return given.map((text) => {
    if (isPhase(text)) return text;
    throw usage(`--${name} ${text}: there is no such phase`, `phases are: ${PHASES.join(', ')}`);
  });
}

export function durationOf(option: string, text: string, least = 1): number {
  const read = Duration.safeParse(/^\d+$/.test(text) ? `${text}s` : text);
  if (!read.success || secondsOf(read.data) < least)
    throw usage(`--${option} ${text} is no duration`, 'write it like 30s, 10m or 2h');
  return secondsOf(read.data);
}

export function numberOf(option: string, text: string, least: number, most: number): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < least || number > most) {
    throw usage(
      `--${option} ${text} is no number from ${least} to ${most}`,
      'write a whole number, in digits',
    );
  }
  return number;
}

function urlOf(option: string, text: string): string {
  if (!URL.canParse(text) || !/^https?:/.test(text))
    throw usage(`--${option} ${text} is no URL`, 'write it with http:// or https://');
  return text.replace(/\/+$/, '');
}

export function usage(message: string, fix: string): Failure {
  return new Failure(message, { exitCode: EXIT.usage, fix });
}

/** What tools that we call may see of our environment. */
export function toolEnvironment(env: CommandInput['env']): Record<string, string> {
  const passed = ['PATH', 'HOME', 'DOCKER_HOST', 'DOCKER_CONFIG', 'DOCKER_CONTEXT', 'XDG_RUNTIME_DIR'];
  return Object.fromEntries(passed.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}
