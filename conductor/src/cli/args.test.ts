import { expect, test } from 'vitest';
import { EXIT, Failure } from '../failure.ts';
import { readArgs } from './args.ts';
import { commands } from './commands.ts';
import { commandHelp, GROUPS, generalHelp } from './help.ts';

function parsed(...argv: string[]) {
  const read = readArgs(argv);
  if ('help' in read) throw new Error('help was asked for');
  return read;
}

/** The refusal of a command line. */
function refusal(...argv: string[]): Failure {
  try {
    readArgs(argv);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error(`conductor ${argv.join(' ')} was taken`);
}

test('words and options are told apart, wherever they stand', () => {
  const { name, words, options } = parsed('up', '--only', 'build', 'shop', '--only=setup', '--json');
  expect(name).toBe('up');
  expect(words).toEqual(['shop']);
  expect(options.texts('only')).toEqual(['build', 'setup']);
  expect(options.flag('json')).toBe(true);
  expect(options.flag('local')).toBe(false);
  expect(options.text('dataflow')).toBeUndefined();
});

test('a short option is the long one', () => {
  expect(parsed('logs', 'api', '-f').options.flag('follow')).toBe(true);
});

test.each([
  [['pln'], 'There is no command "pln"; did you mean "plan"?', 'run conductor plan'],
  [['deploy-everything'], 'There is no command "deploy-everything"', 'see conductor --help'],
  [['help', 'staus'], 'There is no command "staus"; did you mean "status"?', 'run conductor status'],
  [
    ['up', '--dataflw', 'x'],
    'There is no option --dataflw; did you mean --dataflow?',
    'see conductor up --help',
  ],
  [['up', '--frobnicate'], 'There is no option --frobnicate', 'see conductor up --help'],
  [['up', '-q'], 'There is no option -q', 'see conductor up --help'],
  [['up', '--timeout'], '--timeout wants a value', 'see conductor up --help'],
  [
    ['up', '--timeout', '--json'],
    '--timeout wants a value; one that begins with a dash is written --timeout=VALUE',
    'see conductor up --help',
  ],
  [['up', '--json=yes'], '--json takes no value', 'see conductor up --help'],
  [['local'], 'A word is missing', 'conductor local start|stop|status|env|reset [FILE]'],
  [
    ['local', 'strat'],
    'There is no "strat"; did you mean "start"?',
    'conductor local start|stop|status|env|reset [FILE]',
  ],
  [['completion', 'powershell'], 'There is no "powershell"', 'conductor completion bash|zsh|fish'],
  [['plan', 'a.yaml', 'b.yaml'], 'There is a word too many: b.yaml', 'conductor plan [FILE]'],
  [
    ['deployments', 'a.yaml', 'b.yaml'],
    'There is a word too many: b.yaml',
    'conductor deployments [get|logs|approve|reject|cancel|rollback ID] [FILE]',
  ],
  [
    ['deployments', 'get', 'id', 'a.yaml', 'b'],
    'There is a word too many: b',
    'conductor deployments [get|logs|approve|reject|cancel|rollback ID] [FILE]',
  ],
  [['schema', 'a.yaml'], 'There is a word too many: a.yaml', 'conductor schema'],
])('%j is refused as usage', (argv, message, fix) => {
  const failure = refusal(...argv);
  expect(failure.message).toBe(message);
  expect(failure.fix).toBe(fix);
  expect(failure.exitCode).toBe(EXIT.usage);
});

test.each([
  [['deployments'], []],
  [['deployments', 'a.yaml'], ['a.yaml']],
  [
    ['deployments', 'get', 'id', 'a.yaml'],
    ['get', 'id', 'a.yaml'],
  ],
])('of %j the words are %j', (argv, words) => {
  expect(parsed(...argv).words).toEqual(words);
});

test('usage errors end with 64', () => {
  expect(EXIT.usage).toBe(64);
});

test.each([[[]], [['--help']], [['-h']], [['help']]])('%j gives the general help', (argv) => {
  expect(readArgs(argv)).toEqual({ help: undefined });
});

test.each([[['up', '--help']], [['up', '--frobnicate', '-h']], [['help', 'up']]])(
  '%j gives the help of the command',
  (argv) => {
    expect(readArgs(argv)).toEqual({ help: commands.up });
  },
);

test('--version is the command version', () => {
  expect(parsed('--version', '--json').name).toBe('version');
});

test('the general help names every command, the help of one every option', () => {
  for (const [name, { usage }] of Object.entries(commands)) {
    expect(usage.split(' ')[0]).toBe(name);
    expect(generalHelp().split(/ {2,}|\n/)).toContain(usage);
    expect(GROUPS.filter(([, names]) => names.some((one) => one === name))).toHaveLength(1);
  }
  const help = commandHelp(commands.events);
  expect(help).toContain('-f, --follow');
  expect(help).toContain('--local-dir DIR');
});

test('every command can be loaded', async () => {
  for (const { load } of Object.values(commands)) expect((await load()).run).toBeTypeOf('function');
});
