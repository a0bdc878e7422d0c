/** `conductor --help` as it is shipped, beside a Node that does nothing. */
import { join } from 'node:path';
import { bareEnvironment, ROOT } from '../machine.ts';
import { figureOf, type Measure } from '../measure.ts';
import { compare, inTurn } from '../sample.ts';
import type { Workshop } from '../workshop.ts';

const TIMES = 21;

export const help: Measure = {
  name: 'help',
  what: 'conductor --help, beside node -e 0',

  async run(workshop) {
    workshop.say(`conductor --help and node -e 0, ${TIMES} of each`);
    const program = join(ROOT, 'conductor/dist/main.js');
    const { ours, theirs, ratio } = compare(
      await inTurn(
        TIMES,
        () => wholeMs([program, '--help'], workshop),
        () => wholeMs(['-e', '0'], workshop),
      ),
    );
    return [
      figureOf({
        name: this.name,
        what: this.what,
        figure: ratio,
        unit: '×',
        target: { atMost: 2 },
        detail: `${ours.toFixed(1)} ms beside ${theirs.toFixed(1)} ms, medians of ${TIMES}`,
      }),
    ];
  },
};

/** From its start to its end. */
async function wholeMs(args: readonly string[], workshop: Workshop): Promise<number> {
  const started = performance.now();
  const { child } = workshop.node(args, { env: bareEnvironment() });
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  if (code !== 0) throw new Error(`node ${args.join(' ')} ended with ${code}`);
  return performance.now() - started;
}
