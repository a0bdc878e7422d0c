/**
 * `up --local` where everything is as it should be: the whole process, as its user waits for it, and in it the
 * director's planning. That is the time from `planning` to `applying` in the director's journal, of both
 * commands together (`dataflow-setup` and `deploy`): reading all there is, and writing the plan down.
 */
import type { News } from '@service-director/conductor';
import { figureOf, type Measure } from '../measure.ts';
import { median, spread } from '../sample.ts';

const TIMES = 5;

export const upAgain: Measure = {
  name: 'up-again',
  what: 'up --local on tracer, nothing to change',

  async run(workshop) {
    const tracer = await workshop.tracer();
    // Once for what only the first run after a start does.
    await tracer.up();
    const seconds: number[] = [];
    const runs: string[] = [];
    for (let turn = 1; turn <= TIMES; turn++) {
      workshop.say(`up --local on tracer again, ${turn} of ${TIMES}`);
      const { completed, seconds: took } = await tracer.up();
      if (completed.changes !== 0) throw new Error(`There were ${completed.changes} things to change`);
      seconds.push(took);
      runs.push(completed.run);
    }
    const news = await tracer.news();
    const planning = runs.map((run) => planningMs(news, run));
    return [
      figureOf({
        name: this.name,
        what: this.what,
        figure: median(seconds),
        unit: 's',
        target: { atMost: 3 },
        detail: `median of ${TIMES}: ${spread(seconds, 's')}`,
      }),
      figureOf({
        name: `${this.name}.plan`,
        what: 'of it, planning by the director',
        figure: median(planning),
        unit: 'ms',
        target: { atMost: 300 },
        detail: `of both commands together: ${spread(planning, 'ms', 0)}`,
      }),
    ];
  },
};

/** Of all commands of one run together. */
function planningMs(news: readonly News[], run: string): number {
  const at = (status: string): number[] =>
    news.flatMap(({ time, event }) =>
      event.type === 'status' && event.status === status && event.command.startsWith(`${run}.`)
        ? [Date.parse(time)]
        : [],
    );
  const [begun, ended] = [at('planning'), at('applying')];
  if (begun.length === 0 || begun.length !== ended.length)
    throw new Error(`The journal of ${run} has ${begun.length} plans begun and ${ended.length} made`);
  return sum(ended) - sum(begun);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
