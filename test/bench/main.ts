/**
 * The bench: each figure beside its target.
 *
 * Speed and cost are ratios: ours and what it is compared with, in turn, in the same run. The table is on stdout
 * and progress on stderr; with `--json` stdout has JSON and nothing else. A target that is missed is told and is
 * no failure; a measure that could not be taken because of ours is one.
 */
import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from './machine.ts';
import { type Measure, Missing } from './measure.ts';
import { command } from './measures/command.ts';
import { commit } from './measures/commit.ts';
import { contention } from './measures/contention.ts';
import { director } from './measures/director.ts';
import { dryRun } from './measures/dry-run.ts';
import { engine } from './measures/engine.ts';
import { flood } from './measures/flood.ts';
import { help } from './measures/help.ts';
import { kills } from './measures/kills.ts';
import { makespan } from './measures/makespan.ts';
import { makespanWall } from './measures/makespan-wall.ts';
import { memory } from './measures/memory.ts';
import { pubsub } from './measures/pubsub.ts';
import { reads } from './measures/reads.ts';
import { simulation } from './measures/simulation.ts';
import { terraform } from './measures/terraform.ts';
import { upAgain } from './measures/up-again.ts';
import { upFirst } from './measures/up-first.ts';
import { type Result, table } from './table.ts';
import { openWorkshop, type Workshop } from './workshop.ts';

const MEASURES: readonly Measure[] = [
  upAgain,
  upFirst,
  command,
  contention,
  kills,
  reads,
  dryRun,
  terraform,
  flood,
  director,
  memory,
  help,
  pubsub,
  makespan,
  makespanWall,
  engine,
  commit,
  simulation,
];
const USAGE = `Usage: npm run bench -- [--json] [--only NAME[,NAME]]

${MEASURES.map(({ name, what }) => `  ${name.padEnd(13)}  ${what}`).join('\n')}
`;
/** As the conductor's. */
const EXIT = { done: 0, failed: 1, usage: 64, interrupted: 130 };

class Usage extends Error {}

// Google's clients look for a metadata server otherwise, and complain where there is none.
process.env.METADATA_SERVER_DETECTION = 'none';
process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  try {
    const options = readOptions(argv);
    if (options === 'help') process.stdout.write(USAGE);
    else return await bench(options);
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof Usage)) throw error;
    process.stderr.write(`error: ${error.message}\n\n${USAGE}`);
    return EXIT.usage;
  }
}

interface Options {
  readonly json: boolean;
  readonly measures: readonly Measure[];
}

function readOptions(argv: readonly string[]): Options | 'help' {
  const { values } = parse(argv);
  if (values.help) return 'help';
  const wanted = values.only?.flatMap((text) => text.split(',')) ?? [];
  for (const name of wanted)
    if (!MEASURES.some((measure) => measure.name === name)) throw new Usage(`There is no measure "${name}"`);
  const measures = MEASURES.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
  return { json: values.json ?? false, measures };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        json: { type: 'boolean' },
        only: { type: 'string', multiple: true },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new Usage(error instanceof Error ? error.message : String(error));
  }
}

async function bench({ json, measures }: Options): Promise<number> {
  const started = performance.now();
  const workshop = openWorkshop((text) => process.stderr.write(`${text}\n`));
  let interrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (interrupted) return;
      interrupted = true;
      void workshop.close().finally(() => process.exit(EXIT.interrupted));
    });
  const results: Result[] = [];
  try {
    // What is measured is what is shipped.
    execFileSync(process.execPath, [join(ROOT, 'scripts/build.ts')], { cwd: ROOT, stdio: ['ignore', 2, 2] });
    for (const measure of measures) if (!interrupted) results.push(await take(measure, workshop));
  } finally {
    await workshop.close();
  }
  if (interrupted) return EXIT.interrupted;
  const seconds = (performance.now() - started) / 1000;
  const machine = { node: process.version, cpus: availableParallelism() };
  process.stdout.write(
    json
      ? `${JSON.stringify({ ...machine, seconds, measures: results }, null, 2)}\n`
      : `\n${table(results)}\n${summaryOf(results)} Node ${machine.node}, ${machine.cpus} processors, ${seconds.toFixed(0)} s.\n`,
  );
  return results.some((result) => 'error' in result) ? EXIT.failed : EXIT.done;
}

function summaryOf(results: readonly Result[]): string {
  const figures = results.flatMap((result) => ('figures' in result ? result.figures : []));
  return `${figures.filter(({ met }) => met).length} of ${figures.length} targets met.`;
}

async function take(measure: Measure, workshop: Workshop): Promise<Result> {
  const { name, what } = measure;
  try {
    return { name, what, figures: await measure.run(workshop) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return error instanceof Missing ? { name, what, missing: message } : { name, what, error: message };
  }
}
