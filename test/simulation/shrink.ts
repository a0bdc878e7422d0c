/**
 * Makes a failing run shorter: fewer commands, then fewer faults, as long as the same invariant does not hold.
 *
 * Faults are left out by their number (`skip`): the run goes the same way up to the first one that is missing, and
 * its own way after that, with faults of its own. So each try is a run, and what counts is only whether it fails.
 */
import type { Crew } from './crew.ts';
import type { Played, Story } from './tasks.ts';

/** So many runs are tried at most. */
const MOST_TRIES = 250;
/** So many lines at the end of a trace are shown. */
const LAST_LINES = 25;
/** No story has more. */
const MOST_COMMANDS = 10;

export interface Shrunk {
  /** The shortest run that still fails, with its trace. */
  readonly played: Played;
  readonly tries: number;
}

export async function shrink(failing: Played, crew: Crew): Promise<Shrunk> {
  const invariant = failing.violation?.invariant;
  let tries = 0;

  /** The run, if it fails in the same way. */
  async function attempt(story: Story): Promise<Played | undefined> {
    tries++;
    const played = await crew.perform({ type: 'play', story, twice: isAboutHash(invariant) });
    return played.violation?.invariant === invariant ? played : undefined;
  }

  async function withoutFaults(from: Played): Promise<Played> {
    const calm = await attempt({ ...from.story, intensity: 0 });
    if (calm) return calm;
    let best = from;
    let size = Math.ceil(best.fired.length / 2);
    while (size >= 1 && tries < MOST_TRIES) {
      const shorter = await withoutSome(best, size);
      best = shorter ?? best;
      size = shorter ? Math.min(size, Math.ceil(best.fired.length / 2)) : Math.floor(size / 2);
    }
    return best;
  }

  /** Leaves out each stretch of so many faults in turn, the last first, and keeps what still fails; undefined when none does. */
  async function withoutSome(from: Played, size: number): Promise<Played | undefined> {
    let best: Played | undefined;
    const numbers = from.fired.map(({ number }) => number);
    for (let end = numbers.length; end > 0 && tries < MOST_TRIES; end -= size) {
      const { story } = best ?? from;
      const skip = new Set([...(story.skip ?? []), ...numbers.slice(Math.max(0, end - size), end)]);
      best = (await attempt({ ...story, skip })) ?? best;
    }
    return best;
  }

  async function withFewerCommands(): Promise<Played> {
    const most = Math.min(failing.story.commands ?? MOST_COMMANDS, MOST_COMMANDS);
    for (let commands = 1; commands < most; commands++) {
      const played = await attempt({ ...failing.story, commands });
      if (played) return played;
    }
    return failing;
  }

  const { story } = await withoutFaults(await withFewerCommands());
  const played = await crew.perform({ type: 'play', story, traced: true, twice: isAboutHash(invariant) });
  return { played, tries };
}

function isAboutHash(invariant: string | undefined): boolean {
  return invariant === 'the same seed is the same run';
}

/** As people read it: what was asked for, what went wrong, how it ended, how to see it again. */
export function storyOf({ played, tries }: Shrunk, mutant?: string): string {
  const { story, violation, trace, fired } = played;
  const sent = trace.flatMap((line) => / world sends (.*)$/.exec(line)?.[1] ?? []);
  return [
    `seed ${story.seed}: ${violation?.invariant ?? 'it holds now'}`,
    ...(violation ? indented(violation.message.split('\n').slice(0, 6)) : []),
    `The commands, of a run made shorter in ${tries} tries:`,
    ...indented(sent),
    fired.length === 0 ? 'No fault is needed.' : 'The faults that it takes:',
    ...indented(fired.map(({ number, kind, site }) => `${number}  ${kind} at ${site}`)),
    'How it ended:',
    ...indented(trace.slice(-LAST_LINES)),
    `Again: npm run simulate -- ${replayOf(story, mutant)} --trace`,
  ].join('\n');
}

/** The words of a command line that play this. */
function replayOf({ seed, commands, skip, intensity, upsetAt }: Story, mutant?: string): string {
  return [
    `--seed ${seed}`,
    ...(commands === undefined ? [] : [`--commands ${commands}`]),
    ...(intensity === 0 ? ['--calm'] : []),
    ...(skip && skip.size > 0 ? [`--skip ${rangesOf(skip)}`] : []),
    ...(upsetAt ? [`--upset ${upsetAt.kind}:${upsetAt.call}`] : []),
    ...(mutant === undefined ? [] : [`--mutant ${mutant}`]),
  ].join(' ');
}

/** `1-4,7`. */
function rangesOf(numbers: ReadonlySet<number>): string {
  const ranges: [number, number][] = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(',');
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}
