/**
 * `npm run simulate`: directors on a virtual clock, in worlds that misbehave, by the thousand.
 *
 * The report is on stdout and progress on stderr; with `--json` stdout has JSON and nothing else.
 */
import { type Options, readOptions, USAGE, Usage } from './arguments.ts';
import { playSeeds, sweep } from './campaign.ts';
import { checkAll, toldCheck } from './checker/check.ts';
import { type Crew, hire } from './crew.ts';
import { shrink, storyOf } from './shrink.ts';
import { type Tally, tally, told } from './summary.ts';
import { huntAll, toldZoo } from './zoo/hunt.ts';
import { MUTANTS } from './zoo/mutants.ts';

/** As the conductor's. */
const EXIT = { done: 0, failed: 1, usage: 64 };
/** How often it is told how far it is, in milliseconds. */
const TELLING_MS = 10_000;
/** So many failing seeds are shrunk; of the others the number is enough. */
const MOST_SHRUNK = 2;

const started = performance.now();
process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  try {
    const options = readOptions(argv);
    if (options !== 'help') return (await simulate(options)) ? EXIT.done : EXIT.failed;
    process.stdout.write(USAGE);
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof Usage)) throw error;
    process.stderr.write(`error: ${error.message}\n\n${USAGE}`);
    return EXIT.usage;
  }
}

/** Whether all holds. */
async function simulate(options: Options): Promise<boolean> {
  const { what, jobs, mutant } = options;
  if (what.type === 'zoo') {
    const zoo = await huntAll(mutant ? [mutant] : MUTANTS, jobs, say);
    print(options, zoo, toldZoo(zoo));
    return zoo.isWell;
  }
  await using crew = hire({ jobs, patches: mutant?.patches ?? [] });
  switch (what.type) {
    case 'check': {
      const checked = await checkAll(crew, say);
      print(options, checked, toldCheck(checked));
      return checked.isWell;
    }
    case 'seed':
      return await playOne(what, crew, options);
    case 'seeds':
      return await report(await playSeeds(what.from, what.until, crew, { onRun: meter() }), crew, options);
    case 'sweep':
      return await report(await sweep(what.seed, crew, { onRun: meter() }), crew, options);
  }
}

async function playOne(
  { story, traced }: Extract<Options['what'], { type: 'seed' }>,
  crew: Crew,
  options: Options,
): Promise<boolean> {
  const played = await crew.perform({ type: 'play', story, twice: true, traced });
  const sum = tally();
  sum.add(played, 2);
  if (!traced) return report(sum, crew, options);
  for (const line of played.trace) process.stdout.write(`${line}\n`);
  const { violation, fired } = played;
  for (const { number, kind, site } of fired) process.stdout.write(`fault ${number}: ${kind} at ${site}\n`);
  process.stdout.write(`hash ${played.digest}; ${violation ? violation.message : 'all holds'}\n`);
  return violation === undefined;
}

async function report(sum: Tally, crew: Crew, options: Options): Promise<boolean> {
  const summary = sum.summary((performance.now() - started) / 1_000);
  const stories: string[] = [];
  for (const failing of sum.found.slice(0, MOST_SHRUNK)) {
    say(`Seed ${failing.story.seed} fails; making it shorter …`);
    stories.push(storyOf(await shrink(failing, crew), options.mutant?.name));
  }
  const others = sum.found
    .slice(MOST_SHRUNK)
    .map(({ story, violation }) => `seed ${story.seed}: ${violation?.invariant}`);
  print(options, { ...summary, stories }, [told(summary), ...stories, ...others].join('\n\n'));
  return sum.found.length === 0;
}

function print({ json }: Options, report: object, text: string): void {
  const plain = (_key: string, value: unknown): unknown => (value instanceof Set ? [...value] : value);
  process.stdout.write(json ? `${JSON.stringify(report, plain, 2)}\n` : `${text}\n`);
}

function meter(): (sum: Tally) => void {
  let last = performance.now();
  let failures = 0;
  return (sum) => {
    for (const { story, violation } of sum.found.slice(failures))
      say(`seed ${story.seed}: ${violation?.invariant}`);
    failures = sum.found.length;
    const now = performance.now();
    if (now - last < TELLING_MS) return;
    last = now;
    const rate = Math.round((sum.runs / (now - started)) * 60_000);
    say(`${sum.runs} runs, ${rate} a minute, ${sum.found.length} violations`);
  };
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
