/** What `npm run simulate` is asked for on its command line. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import type { Story } from './tasks.ts';
import { MUTANTS, type Mutant } from './zoo/mutants.ts';

export const USAGE = `Usage: npm run simulate -- [WHAT] [OPTIONS]

What (default --seeds 0..1000):
  --seeds A..B    every seed from A on, up to B and without B; each is run twice and must give the same hash
  --seed S        that one seed
  --sweep S       seed S without faults, then with one crash: before and after every call of a director
  --zoo           hunts every planted bug, from several seeds on
  --check         the exhaustive checker: every history of small worlds

Options:
  --trace         with --seed: prints its history
  --commands N    with --seed: only so many of its commands
  --skip LIST     with --seed: without the faults of these numbers: 1-4,7
  --calm          with --seed: without any faults
  --upset WHAT:N  with --seed: crash-before, crash-after or pause at the N-th call of a director
  --mutant NAME   with this planted bug in the product; with --zoo only this one
  --jobs N        so many threads; default one for each processor
  --json          the report as JSON

Exit codes: 0 all holds, 1 something does not, 64 usage.
`;

export class Usage extends Error {}

export interface Options {
  readonly what:
    | { readonly type: 'seeds'; readonly from: number; readonly until: number }
    | { readonly type: 'seed'; readonly story: Story; readonly traced: boolean }
    | { readonly type: 'sweep'; readonly seed: number }
    | { readonly type: 'zoo' }
    | { readonly type: 'check' };
  readonly mutant: Mutant | undefined;
  readonly jobs: number;
  readonly json: boolean;
}

type Values = ReturnType<typeof parse>['values'];

/** Throws Usage. */
export function readOptions(argv: readonly string[]): Options | 'help' {
  const { values } = parse(argv);
  if (values.help) return 'help';
  const what = whatOf(values);
  const own = ['trace', 'commands', 'skip', 'calm', 'upset'] as const;
  for (const name of own)
    if (what.type !== 'seed' && values[name] !== undefined) throw new Usage(`--${name} goes with --seed`);
  return {
    what,
    mutant: mutantOf(values.mutant),
    jobs: values.jobs === undefined ? availableParallelism() : wholeOf('jobs', values.jobs, 1),
    json: values.json ?? false,
  };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        seeds: { type: 'string' },
        seed: { type: 'string' },
        sweep: { type: 'string' },
        zoo: { type: 'boolean' },
        check: { type: 'boolean' },
        trace: { type: 'boolean' },
        commands: { type: 'string' },
        skip: { type: 'string' },
        calm: { type: 'boolean' },
        upset: { type: 'string' },
        mutant: { type: 'string' },
        jobs: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new Usage(error instanceof Error ? error.message : String(error));
  }
}

function whatOf(values: Values): Options['what'] {
  const given = (['seeds', 'seed', 'sweep', 'zoo', 'check'] as const).filter(
    (name) => values[name] !== undefined,
  );
  if (given.length > 1) throw new Usage(`--${given.join(' and --')} do not go together`);
  switch (given[0]) {
    case 'seed':
      return { type: 'seed', story: storyOf(values), traced: values.trace ?? false };
    case 'sweep':
      return { type: 'sweep', seed: wholeOf('sweep', values.sweep, 0) };
    case 'zoo':
    case 'check':
      return { type: given[0] };
    default:
      return { type: 'seeds', ...rangeOf(values.seeds ?? '0..1000') };
  }
}

function rangeOf(text: string): { from: number; until: number } {
  const [, from, until] = /^(\d+)\.\.(\d+)$/.exec(text) ?? [];
  if (from === undefined || Number(from) >= Number(until))
    throw new Usage(`--seeds takes a range like 0..1000, not ${text}`);
  return { from: Number(from), until: Number(until) };
}

function storyOf({ seed, commands, skip, calm, upset }: Values): Story {
  return {
    seed: wholeOf('seed', seed, 0),
    ...(commands === undefined ? {} : { commands: wholeOf('commands', commands, 1) }),
    ...(skip === undefined ? {} : { skip: new Set(numbersOf(skip)) }),
    ...(calm ? { intensity: 0 } : {}),
    ...(upset === undefined ? {} : { upsetAt: upsetOf(upset) }),
  };
}

function numbersOf(list: string): number[] {
  return list.split(',').flatMap((part) => {
    const [, from, to = from] = /^(\d+)(?:-(\d+))?$/.exec(part) ?? [];
    if (from === undefined) throw new Usage(`--skip takes numbers like 1-4,7, not ${list}`);
    return Array.from({ length: Number(to) - Number(from) + 1 }, (_, at) => Number(from) + at);
  });
}

function upsetOf(text: string): NonNullable<Story['upsetAt']> {
  const [, kind, call] = /^(crash-before|crash-after|pause):(\d+)$/.exec(text) ?? [];
  if (kind !== 'crash-before' && kind !== 'crash-after' && kind !== 'pause')
    throw new Usage(`--upset takes a thing and a number like crash-after:12, not ${text}`);
  return { kind, call: Number(call) };
}

function mutantOf(name: string | undefined): Mutant | undefined {
  if (name === undefined) return undefined;
  const mutant = MUTANTS.find((one) => one.name === name);
  if (!mutant)
    throw new Usage(
      `There is no planted bug "${name}"; there is: ${MUTANTS.map((one) => one.name).join(', ')}`,
    );
  return mutant;
}

function wholeOf(name: string, text: string | undefined, least: number): number {
  if (text === undefined || !/^\d+$/.test(text) || Number(text) < least)
    throw new Usage(`--${name} takes a number${least > 0 ? ` from ${least} on` : ''}, not ${text}`);
  return Number(text);
}
