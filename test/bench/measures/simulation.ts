/** How fast the simulation is: seeds one after the other in this process, each twice, and whether both runs were the same. */
import { runSeed } from '../../simulation/run.ts';
import { figureOf, type Measure } from '../measure.ts';

const SEEDS = 200;

export const simulation: Measure = {
  name: 'simulation',
  what: 'simulated runs a minute, one after the other',

  async run(workshop) {
    workshop.say(`${SEEDS} seeds of the simulation, each twice`);
    let equal = 0;
    let violations = 0;
    const started = performance.now();
    for (let seed = 0; seed < SEEDS; seed++) {
      const [one, other] = [await runSeed({ seed }), await runSeed({ seed })];
      if (one.digest === other.digest) equal++;
      if (one.violation) violations++;
    }
    const seconds = (performance.now() - started) / 1_000;
    const runs = 2 * SEEDS;
    return [
      figureOf({
        name: this.name,
        what: this.what,
        figure: (runs * 60) / seconds,
        unit: '',
        target: { atLeast: 1_000 },
        detail: `${runs} runs in ${seconds.toFixed(1)} s, ${violations} violations`,
      }),
      figureOf({
        name: `${this.name}.equal`,
        what: 'the same, seeds whose two runs have the same hash',
        figure: equal / SEEDS,
        unit: '',
        target: { atLeast: 1 },
        detail: `${equal} of ${SEEDS}`,
      }),
    ];
  },
};
