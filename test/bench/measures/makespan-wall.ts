/** Units that each really wait, beside Terraform resources that wait as long, in the same graphs, as many at a time. */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import { seededRandom } from '@service-director/shared/kit/clock.ts';
import { limits } from '@service-director/shared/kit/limiter.ts';
import { deploy } from '../deployment-run.ts';
import { type Graph, SHAPES } from '../graphs.ts';
import { figureOf, type Measure } from '../measure.ts';
import { memoryCloud, unitsOf } from '../memory-cloud.ts';
import { compare, inTurn, type Pair } from '../sample.ts';
import { openTerraform } from '../terraform.ts';
import type { Workshop } from '../workshop.ts';

const SIZE = 300;
const WAIT_MS = 200;
const AT_A_TIME = 10;
/** Of each shape. */
const TIMES = 3;

export const makespanWall: Measure = {
  name: 'makespan-wall',
  what: 'units that really wait, in the same graphs, beside Terraform',

  async run(workshop) {
    const medians: (Pair & { readonly shape: string })[] = [];
    for (const [shape, graphOf] of Object.entries(SHAPES)) {
      workshop.say(`${SIZE} units of ${WAIT_MS} ms and Terraform, ${shape}, ${TIMES} of each`);
      const graph = graphOf(SIZE, seededRandom(1));
      const terraform = await openTerraform(graph, workshop, { command: `sleep ${WAIT_MS / 1_000}` });
      const pairs = await inTurn(
        TIMES,
        () => secondsOf(graph, workshop),
        async () => (await terraform.apply(AT_A_TIME)).seconds,
        0,
      );
      await terraform.close();
      medians.push({ shape, ...compare(pairs) });
    }
    const sum = (which: keyof Pair): number => medians.reduce((all, one) => all + one[which], 0);
    const each = medians.map(({ shape, ours, theirs }) => `${shape} ${(ours / theirs).toFixed(2)}`);
    return [
      figureOf({
        name: this.name,
        what: this.what,
        figure: sum('ours') / sum('theirs'),
        unit: '×',
        target: { atMost: 0.8 },
        detail: `${sum('ours').toFixed(1)} s beside ${sum('theirs').toFixed(1)} s for all shapes, medians of ${TIMES} of each: ${each.join(', ')}`,
      }),
    ];
  },
};

async function secondsOf(graph: Graph, workshop: Workshop): Promise<number> {
  const store = sqliteStore({ path: join(workshop.folder('store'), 'state.sqlite') });
  try {
    const { engine } = memoryCloud({ work: () => sleep(WAIT_MS) });
    const started = performance.now();
    await deploy({
      units: unitsOf(graph),
      engine,
      store,
      limits: limits({ all: AT_A_TIME, each: AT_A_TIME }),
    });
    return (performance.now() - started) / 1_000;
  } finally {
    await store.close();
  }
}
