/**
 * What the engine itself takes: units in chains of ten that are made in no time, every intent and every end durable
 * in SQLite, beside Terraform with its own resources and its state with an HTTP backend on loopback.
 *
 * Ours runs in a process that is up, as the director is; of Terraform the whole process counts, for it has no other
 * way. A plan of what is unchanged is a process of its own for both, and all that it holds counts.
 */
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import { seededRandom } from '@service-director/shared/kit/clock.ts';
import { limits } from '@service-director/shared/kit/limiter.ts';
import { deploy } from '../deployment-run.ts';
import { type Graph, stacksOfTen } from '../graphs.ts';
import { bareEnvironment } from '../machine.ts';
import { type Figure, figureOf, type Measure } from '../measure.ts';
import { memoryCloud, unitsOf } from '../memory-cloud.ts';
import { compare, inTurn, median, type Pair } from '../sample.ts';
import { openTerraform, type Took } from '../terraform.ts';
import type { Workshop } from '../workshop.ts';

const SMALL = 1_000;
const TWICE = 2_000;
const LARGE = 10_000;
const TIMES = 9;
const GROWTH_TIMES = 21;
const WARM_UP = 5;
/** A plan of the large one takes Terraform more than ten seconds. */
const PLAN_TIMES = 3;
/** Each at its own default: as many calls at a time as the director makes, as many as Terraform does. */
const OUR_CALLS = { all: 24, each: 12 };
const THEIR_CALLS = 10;

export const engine: Measure = {
  name: 'engine',
  what: "plan and apply of chains, no latency, durable journal, beside Terraform's",

  async run(workshop) {
    const small = await applied(SMALL, TIMES, workshop);
    const twice = await applied(TWICE, TIMES, workshop);
    const growth = await grown(workshop);
    const theirs = Math.log2(twice.theirs / small.theirs);
    return [
      appliedFigure(SMALL, small),
      appliedFigure(TWICE, twice),
      figureOf({
        name: `${this.name}.growth`,
        what: `the same, growth from ${SMALL} to ${TWICE} units, exponent`,
        figure: Math.log2(growth.ratio),
        unit: '',
        target: { atMost: 1.1 },
        detail: `${milliseconds(growth.theirs)} and ${milliseconds(growth.ours)} in turn, medians of ${GROWTH_TIMES}; Terraform: ${theirs.toFixed(2)}`,
      }),
      ...(process.env.BENCH_LARGE === '1' ? [appliedFigure(LARGE, await applied(LARGE, 1, workshop))] : []),
      ...(await unchanged(workshop)),
    ];
  },
};

type Compared = Pair & { readonly ratio: number; readonly times: number };

async function applied(size: number, times: number, workshop: Workshop): Promise<Compared> {
  workshop.say(`Plan and apply of ${size} units, and Terraform's, ${times} of each`);
  const graph = stacksOfTen(size, seededRandom(1));
  const terraform = await openTerraform(graph, workshop);
  // Ours warms up alone, as a director that has been at work: Terraform's process begins anew each time.
  for (let turn = 0; turn < WARM_UP; turn++) await ourSeconds(graph, workshop);
  const pairs = await inTurn(
    times,
    () => ourSeconds(graph, workshop),
    async () => (await terraform.apply(THEIR_CALLS)).seconds,
    0,
  );
  await terraform.close();
  return { ...compare(pairs), times };
}

/** The larger beside the smaller, so that what disturbs the machine disturbs both. */
async function grown(workshop: Workshop): Promise<ReturnType<typeof compare>> {
  const [small, twice] = [SMALL, TWICE].map((size) => stacksOfTen(size, seededRandom(1)));
  const seconds = (graph: Graph = []) => ourSeconds(graph, workshop);
  return compare(
    await inTurn(
      GROWTH_TIMES,
      () => seconds(twice),
      () => seconds(small),
    ),
  );
}

async function ourSeconds(graph: Graph, workshop: Workshop): Promise<number> {
  const store = sqliteStore({ path: join(workshop.folder('store'), 'state.sqlite') });
  try {
    const cloud = memoryCloud();
    const started = performance.now();
    await deploy({ units: unitsOf(graph), engine: cloud.engine, store, limits: limits(OUR_CALLS) });
    const seconds = (performance.now() - started) / 1_000;
    if (cloud.calls !== graph.length) throw new Error(`${cloud.calls} calls for ${graph.length} units`);
    return seconds;
  } finally {
    await store.close();
  }
}

function appliedFigure(size: number, { ours, theirs, ratio, times }: Compared): Figure {
  return figureOf({
    name: `${engine.name}.${size}`,
    what: `${engine.what}, ${size}`,
    figure: ratio,
    unit: '×',
    target: { atMost: 0.03 },
    detail: `${milliseconds(ours)} beside ${milliseconds(theirs)}, ${times === 1 ? 'once' : `medians of ${times}`}`,
  });
}

async function unchanged(workshop: Workshop): Promise<Figure[]> {
  workshop.say(`Plan of ${LARGE} unchanged units, and Terraform's, ${PLAN_TIMES} of each`);
  const graph = stacksOfTen(LARGE, seededRandom(1));
  const path = join(workshop.folder('store'), 'state.sqlite');
  const store = sqliteStore({ path });
  await deploy({ units: unitsOf(graph), engine: memoryCloud().engine, store, limits: limits(OUR_CALLS) });
  await store.close();
  const terraform = await openTerraform(graph, workshop);
  const held: { ours: number[]; theirs: number[] } = { ours: [], theirs: [] };
  const noting = async (whose: keyof typeof held, took: Promise<Took>): Promise<number> => {
    const { seconds, mebibytes } = await took;
    if (mebibytes !== undefined) held[whose].push(mebibytes);
    return seconds;
  };
  const pairs = await inTurn(
    PLAN_TIMES,
    () => noting('ours', ourPlan(LARGE, path, workshop)),
    () => noting('theirs', terraform.planUnchanged()),
    0,
  );
  await terraform.close();
  const { ours, theirs, ratio } = compare(pairs);
  const medians = `medians of ${PLAN_TIMES}`;
  return [
    figureOf({
      name: `${engine.name}.unchanged`,
      what: `plan of ${LARGE} unchanged units, beside terraform plan`,
      figure: ratio,
      unit: '×',
      target: { atMost: 0.05 },
      detail: `${milliseconds(ours)} beside ${milliseconds(theirs)}, whole processes, ${medians}`,
    }),
    ...memoryFigure(median(held.ours), median(held.theirs), medians),
  ];
}

/** A whole process, as Terraform's. */
async function ourPlan(size: number, path: string, workshop: Workshop): Promise<Took> {
  const program = fileURLToPath(import.meta.resolve('../unchanged.ts'));
  const started = performance.now();
  const { child } = workshop.node([program, String(size), path], { env: bareEnvironment(), stdio: 'pipe' });
  if (!child.stdout || !child.stderr) throw new Error('The plan was started without pipes');
  const [said, complaint] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const seconds = (performance.now() - started) / 1_000;
  if (!said) throw new Error(`The plan could not be made: ${complaint}`);
  const { units, changes, mebibytes } = JSON.parse(said) as Record<string, number>;
  if (units !== size || changes !== 0) throw new Error(`The plan has ${units} units and ${changes} changes`);
  return { seconds, mebibytes };
}

/** None where this system does not tell what a process held. */
function memoryFigure(ours: number, theirs: number, medians: string): Figure[] {
  if (Number.isNaN(theirs)) return [];
  return [
    figureOf({
      name: `${engine.name}.unchanged.memory`,
      what: 'the same, the most that the process held',
      figure: ours / theirs,
      unit: '×',
      target: { atMost: 0.3 },
      detail: `${ours.toFixed(0)} MiB beside ${theirs.toFixed(0)} MiB, ${medians}`,
    }),
  ];
}

function milliseconds(seconds: number): string {
  return seconds < 10 ? `${(seconds * 1_000).toFixed(0)} ms` : `${seconds.toFixed(1)} s`;
}
