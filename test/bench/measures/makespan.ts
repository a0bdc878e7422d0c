/**
 * How long a deployment takes beside how long it must: the longest path through it, all its work shared among the
 * calls that may be made at a time, or the work of one API shared among those that may be made to it; whichever is
 * longest. As in the director half of all calls may be to one API; the units are of three.
 *
 * On a virtual clock, so no machine is in it. The planner knows of each unit only the class of its duration, as the
 * director does from the kind; how long it really takes is spread around that.
 */
import { criticalPath } from '@service-director/shared/engine/walk.ts';
import { type Random, seededRandom } from '@service-director/shared/kit/clock.ts';
import { type Limits, limits } from '@service-director/shared/kit/limiter.ts';
import type { UnitId } from '@service-director/shared/model/unit.ts';
import { deploy } from '../deployment-run.ts';
import { type Graph, SHAPES } from '../graphs.ts';
import { figureOf, type Measure } from '../measure.ts';
import { apiOf, idOf, memoryCloud, unitsOf } from '../memory-cloud.ts';
import { memoryStore } from '../memory-store.ts';
import { median } from '../sample.ts';
import { virtualClock } from '../virtual-clock.ts';

const SIZE = 10_000;
const LIMITS = [10, 20, 50];
const SEEDS = [1, 2, 3];
/** Seconds, and how many of a hundred. Within a class the logarithm is spread by SIGMA. */
const CLASSES = [
  { seconds: 1.4, share: 0.7 },
  { seconds: 12, share: 0.25 },
  { seconds: 180, share: 0.05 },
];
const SIGMA = 0.5;

export const makespan: Measure = {
  name: 'makespan',
  what: 'makespan of random graphs, beside the least possible',

  async run(workshop) {
    const samples: Sample[] = [];
    for (const [shape, graphOf] of Object.entries(SHAPES)) {
      workshop.say(`${SIZE} units in virtual time, ${shape}`);
      for (const seed of SEEDS) {
        const random = seededRandom(seed);
        const work = workOf(graphOf(SIZE, random), random);
        for (const limit of LIMITS) samples.push({ shape, limit, ...(await sampleOf(work, limit)) });
      }
    }
    const ours = samples.map(({ ranked }) => ranked);
    const theirs = samples.map(({ inOrder }) => inOrder);
    const detail = `${Object.keys(SHAPES).length} shapes × limits ${LIMITS.join(', ')} × ${SEEDS.length} seeds`;
    return [
      figureOf({
        name: this.name,
        what: `${this.what}, median`,
        figure: median(ours),
        unit: '×',
        target: { atMost: 1.01 },
        detail: `${detail}; first come, first served: ${median(theirs).toFixed(3)}`,
      }),
      figureOf({
        name: `${this.name}.worst`,
        what: `${this.what}, worst`,
        figure: Math.max(...ours),
        unit: '×',
        target: { atMost: 1.08 },
        detail: `${worstOf(samples, 'ranked')}; first come, first served: ${worstOf(samples, 'inOrder')}`,
      }),
    ];
  },
};

/** Beside the bound. */
interface Ratios {
  readonly ranked: number;
  /** First come, first served. */
  readonly inOrder: number;
}

interface Sample extends Ratios {
  readonly shape: string;
  readonly limit: number;
}

interface Work {
  readonly graph: Graph;
  readonly seconds: ReadonlyMap<UnitId, { readonly expected: number; readonly real: number }>;
}

function workOf(graph: Graph, random: Random): Work {
  const seconds = graph.map((_, place) => {
    const expected = classOf(random());
    return [idOf(place), { expected, real: expected * Math.exp(SIGMA * normal(random)) }] as const;
  });
  return { graph, seconds: new Map(seconds) };
}

function classOf(chance: number): number {
  let sum = 0;
  const found = CLASSES.find(({ share }) => {
    sum += share;
    return chance < sum;
  });
  return (found ?? CLASSES[0])?.seconds ?? 1;
}

/** Mean 0, deviation 1 (Box and Muller). */
function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

async function sampleOf(work: Work, all: number): Promise<Ratios> {
  const places = { all, each: all / 2 };
  const bound = boundOf(work, places);
  const ranked = await secondsOf(work, limits(places));
  const inLine = limits(places);
  const inOrder = await secondsOf(work, { run: (api, task) => inLine.run(api, task) });
  return { ranked: ranked / bound, inOrder: inOrder / bound };
}

interface Places {
  /** Altogether. */
  readonly all: number;
  /** To one API. */
  readonly each: number;
}

/** No order of the units is done sooner. */
function boundOf({ graph, seconds }: Work, { all, each }: Places): number {
  const nodes = graph.map((after, place) => ({
    id: idOf(place),
    after: after.map(idOf),
    seconds: seconds.get(idOf(place))?.real ?? 0,
  }));
  const byApi = new Map<string, number>();
  for (const [id, { real }] of seconds) byApi.set(apiOf(id), (byApi.get(apiOf(id)) ?? 0) + real);
  const work = [...byApi.values()];
  const whole = work.reduce((sum, one) => sum + one, 0);
  return Math.max(criticalPath(nodes).seconds, whole / all, Math.max(...work) / each);
}

async function secondsOf({ graph, seconds }: Work, calls: Limits): Promise<number> {
  const clock = virtualClock();
  const { engine } = memoryCloud({
    seconds: (id) => seconds.get(id)?.expected ?? 0,
    work: (id) => clock.sleep((seconds.get(id)?.real ?? 0) * 1_000),
  });
  await clock.pass(deploy({ units: unitsOf(graph), engine, store: memoryStore(), limits: calls, clock }));
  return clock.now() / 1_000;
}

function worstOf(samples: readonly Sample[], which: keyof Ratios): string {
  const worst = samples.reduce((one, other) => (other[which] > one[which] ? other : one));
  return `${worst[which].toFixed(3)} (${worst.shape}, ${worst.limit})`;
}
