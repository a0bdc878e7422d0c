/**
 * The first `up --local` of the shop, with a local cloud that has nothing yet and grants that are in effect at
 * once, beside the longest chain of what this very run had to do: see `chain.ts`.
 *
 * Both come from the same run, so that a slow registry or machine is in both. Only how long a local cloud takes
 * to start is not recorded by itself: one is started beside each run.
 */
import { demandLocalCloud } from '@service-director/conductor/local.ts';
import { type Chain, longestChain } from '../chain.ts';
import { startLocalCloud, up } from '../conductor.ts';
import { factsOf } from '../facts.ts';
import { figureOf, type Measure } from '../measure.ts';
import { median } from '../sample.ts';
import type { Workshop } from '../workshop.ts';

const TIMES = 3;

export const upFirst: Measure = {
  name: 'up-first',
  what: 'up --local on shop, first run, beside the longest chain of its builds, starts and calls',

  async run(workshop) {
    const runs: FirstRun[] = [];
    for (let turn = 1; turn <= TIMES; turn++) {
      workshop.say(`up --local on shop for the first time, ${turn} of ${TIMES}`);
      runs.push(await firstRun(workshop));
    }
    const ratio = median(runs.map((run) => run.ratio));
    const middle = runs.find((run) => run.ratio === ratio) ?? runs[0];
    return [
      figureOf({
        name: this.name,
        what: this.what,
        figure: ratio,
        unit: '×',
        target: { atMost: 1.3 },
        detail: middle ? describe(middle) : '',
      }),
    ];
  },
};

interface FirstRun {
  readonly seconds: number;
  readonly chain: Chain;
  readonly ratio: number;
}

async function firstRun(workshop: Workshop): Promise<FirstRun> {
  const beside = await startLocalCloud(workshop);
  await beside.stop();
  const { dir, stop } = workshop.cloudFolder();
  const { seconds } = await up('shop', dir, workshop);
  const chain = longestChain(await factsOf('shop', demandLocalCloud(dir).origin, beside.seconds));
  await stop();
  return { seconds, chain, ratio: seconds / chain.seconds };
}

function describe({ seconds, chain }: FirstRun): string {
  const links = chain.links
    .filter((link) => link.seconds >= 0.05)
    .map((link) => `${link.what} ${link.seconds.toFixed(1)}`);
  return `median of ${TIMES}: ${seconds.toFixed(1)} s beside ${chain.seconds.toFixed(1)} s (${links.join(' → ')})`;
}
