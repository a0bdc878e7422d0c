/**
 * Many commands at once on one stack: five directors on one SQLite file beside one on another. Each is a process of
 * its own, as it is shipped; every command gives a topic other labels, so each has a plan, a call and a version.
 */
import { randomUUID } from 'node:crypto';
import { type Answers, type Fleet, openAnswers, openFleet } from '../fleet.ts';
import { figureOf, type Measure } from '../measure.ts';
import { compare, inTurn, median } from '../sample.ts';
import { PROJECT, REGION } from '../tracer.ts';

const COMMANDS = 50;
const DIRECTORS = 5;
const TIMES = 9;

export const contention: Measure = {
  name: 'contention',
  what: `${COMMANDS} commands on one stack a second, ${DIRECTORS} directors beside one`,

  async run(workshop) {
    const run = `bench-${randomUUID()}`;
    const answers = await openAnswers(run, workshop);
    const many = await openFleet(DIRECTORS, run, workshop);
    const one = await openFleet(1, run, workshop);
    workshop.say(`${COMMANDS} commands on one stack, ${DIRECTORS} directors and one, ${TIMES} of each`);
    const rounds: Round[] = [];
    try {
      const pairs = await inTurn(
        TIMES,
        async () => {
          const round = await roundOf(many, 'many', answers);
          rounds.push(round);
          return round.perSecond;
        },
        async () => (await roundOf(one, 'one', answers)).perSecond,
      );
      const { ours, theirs, ratio } = compare(pairs);
      const unfair = rounds.map(({ longestWait, medianWait }) => longestWait / medianWait);
      return [
        figureOf({
          name: this.name,
          what: this.what,
          figure: ratio,
          unit: '×',
          target: { atLeast: 0.8 },
          detail: `${ours.toFixed(0)}/s beside ${theirs.toFixed(0)}/s, medians of ${TIMES}`,
        }),
        figureOf({
          name: `${this.name}.wait`,
          what: 'the same, longest wait beside the median one',
          figure: median(unfair),
          unit: '×',
          target: { atMost: 3 },
          detail: `${milliseconds(rounds, 'longestWait')} beside ${milliseconds(rounds, 'medianWait')}, medians; the worst round ${Math.max(...unfair).toFixed(2)}`,
        }),
      ];
    } finally {
      await many.stop();
      await one.stop();
      await answers.close();
    }
  },
};

/** Waits are from sending a command to hearing its last word. Milliseconds. */
interface Round {
  readonly perSecond: number;
  readonly longestWait: number;
  readonly medianWait: number;
}

async function roundOf(fleet: Fleet, name: string, answers: Answers): Promise<Round> {
  const began = performance.now();
  const ends = await Promise.all(
    Array.from({ length: COMMANDS }, async () => {
      const id = randomUUID();
      const [end] = await Promise.all([answers.completed(id), fleet.send(commandOf(name, id), id)]);
      return end - began;
    }),
  );
  const longestWait = Math.max(...ends);
  return { perSecond: (COMMANDS * 1_000) / longestWait, longestWait, medianWait: median(ends) };
}

function commandOf(name: string, id: string): object {
  const topics = [{ name: `contended-${name}`, labels: { command: id } }];
  const contended = { lifecycle: { strategy: 'ephemeral' }, resources: { topics } };
  const document = {
    name: `contention-${name}`,
    project_id: PROJECT,
    region: REGION,
    dataflows: { contended },
  };
  return { dataflow: 'contended', architecture: { document } };
}

function milliseconds(rounds: readonly Round[], which: 'longestWait' | 'medianWait'): string {
  return `${median(rounds.map((round) => round[which])).toFixed(0)} ms`;
}
