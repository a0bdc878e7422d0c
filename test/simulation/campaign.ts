/** Many runs: of a range of seeds, or of one with a crash at every call that a director makes. */
import { type Crew, inTurn } from './crew.ts';
import { type Tally, tally } from './summary.ts';
import type { Story } from './tasks.ts';

export interface Progress {
  /** Told after every run. */
  onRun?(tally: Tally): void;
  /** Nothing more is begun after so many failures. Default 5. */
  readonly mostFailures?: number;
}

const MOST_FAILURES = 5;

/** Each seed twice: the second run must be the first, to the byte. */
export function playSeeds(from: number, until: number, crew: Crew, progress: Progress = {}): Promise<Tally> {
  return playAll(seedsOf(from, until), true, crew, progress);
}

/** A run in which nothing goes wrong, and then one with a crash before, and one after, every call of a director in it. */
export async function sweep(seed: number, crew: Crew, progress: Progress = {}): Promise<Tally> {
  const story: Story = { seed, intensity: 0 };
  const calm = await crew.perform({ type: 'play', story, twice: true });
  const points = calm.violation ? 0 : calm.stats.mortalCalls;
  const swept = await playAll(upsetsOf(story, points), false, crew, progress);
  swept.add(calm, 2);
  return swept;
}

async function playAll(
  stories: Iterable<Story>,
  twice: boolean,
  crew: Crew,
  { onRun, mostFailures = MOST_FAILURES }: Progress,
): Promise<Tally> {
  const sum = tally();
  await inTurn(
    stories,
    crew.jobs,
    async (story) => {
      sum.add(await crew.perform({ type: 'play', story, twice }), twice ? 2 : 1);
      onRun?.(sum);
    },
    () => sum.found.length >= mostFailures,
  );
  return sum;
}

function* seedsOf(from: number, until: number): Generator<Story> {
  for (let seed = from; seed < until; seed++) yield { seed };
}

function* upsetsOf(story: Story, points: number): Generator<Story> {
  for (let call = 1; call <= points; call++)
    for (const kind of ['crash-before', 'crash-after'] as const) yield { ...story, upsetAt: { call, kind } };
}
