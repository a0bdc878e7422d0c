/**
 * How soon the director answers, as it is shipped, beside a bare Express program on the same Node.
 *
 * Both are asked for `/health` from before they listen: each attempt is a connection of its own, the next one a
 * millisecond after one that was refused.
 */
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bareEnvironment, freePort, ROOT } from '../machine.ts';
import { figureOf, type Measure } from '../measure.ts';
import { compare, inTurn, type Pair } from '../sample.ts';
import { answers, type Starter, shippedDirector } from '../shipped-director.ts';
import type { Workshop } from '../workshop.ts';

const TIMES = 11;

export const director: Measure = {
  name: 'director',
  what: 'director, start → first 2xx on /health, beside a bare Express hello',

  async run(workshop) {
    const startDirector = await shippedDirector(workshop);
    const hello = writeHello(workshop.folder('hello'));
    const startHello: Starter = (port) =>
      workshop.node([hello], { env: { ...bareEnvironment(), PORT: String(port) } });
    const toHealth = await firstAnswers(startDirector, startHello, '/health', workshop);
    const toReady = await firstAnswers(startDirector, startHello, '/ready', workshop);
    return [
      figureOf({
        name: this.name,
        what: this.what,
        figure: toHealth.ratio,
        unit: '×',
        target: { atMost: 0.9 },
        detail: detailOf(toHealth),
      }),
      figureOf({
        name: `${this.name}.ready`,
        what: 'the same → first 2xx on /ready, beside the same hello',
        figure: toReady.ratio,
        unit: '×',
        target: { atMost: 3 },
        detail: detailOf(toReady),
      }),
    ];
  },
};

/** The hello has nothing to be ready for: it is asked for its health. */
async function firstAnswers(
  director: Starter,
  hello: Starter,
  path: '/health' | '/ready',
  workshop: Workshop,
): Promise<ReturnType<typeof compare>> {
  workshop.say(`The director → ${path} and a bare Express hello start, ${TIMES} of each`);
  return compare(
    await inTurn(
      TIMES,
      () => firstAnswerMs(director, path),
      () => firstAnswerMs(hello, '/health'),
    ),
  );
}

function detailOf({ ours, theirs }: Pair): string {
  return `${ours.toFixed(0)} ms beside ${theirs.toFixed(0)} ms, medians of ${TIMES}`;
}

/** As one would write it; Express is the director's. */
function writeHello(folder: string): string {
  const express = createRequire(join(ROOT, 'director/package.json')).resolve('express');
  const file = join(folder, 'hello.mjs');
  writeFileSync(
    file,
    `import express from ${JSON.stringify(pathToFileURL(express).href)};
const app = express();
app.get('/health', (request, response) => {
  response.json({ status: 'ok' });
});
app.listen(Number(process.env.PORT), '127.0.0.1');
`,
  );
  return file;
}

async function firstAnswerMs(start: Starter, path: string): Promise<number> {
  const port = await freePort();
  const began = performance.now();
  const started = start(port);
  try {
    await answers(port, path, started);
    return performance.now() - began;
  } finally {
    await started.stop();
  }
}
