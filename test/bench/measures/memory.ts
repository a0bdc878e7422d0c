/** What the director holds at rest, as it is shipped: ready, its subscriptions open, and five seconds later. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../machine.ts';
import { figureOf, type Measure, Missing } from '../measure.ts';
import { median, spread } from '../sample.ts';
import { answers, type Starter, shippedDirector } from '../shipped-director.ts';

const TIMES = 3;
const REST_MS = 5_000;

export const memory: Measure = {
  name: 'memory',
  what: 'director, resident memory at rest',

  async run(workshop) {
    if (process.platform !== 'linux')
      throw new Missing('what a process holds is read from /proc, which only Linux has');
    const start = await shippedDirector(workshop);
    const samples: number[] = [];
    for (let turn = 1; turn <= TIMES; turn++) {
      workshop.say(`The director rests, ${turn} of ${TIMES}`);
      samples.push(await mebibytesAtRest(start));
    }
    return [
      figureOf({
        name: this.name,
        what: this.what,
        figure: median(samples),
        unit: 'MiB',
        target: { atMost: 150 },
        detail: `median of ${TIMES}: ${spread(samples, 'MiB', 0)}`,
      }),
    ];
  },
};

async function mebibytesAtRest(start: Starter): Promise<number> {
  const port = await freePort();
  const started = start(port);
  try {
    await answers(port, '/ready', started);
    await sleep(REST_MS);
    return residentMebibytes(started.pid);
  } finally {
    await started.stop();
  }
}

function residentMebibytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kibibytes) / 1024;
}
