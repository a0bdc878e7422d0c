/**
 * How soon the director answers, as it is shipped, beside a bare Express program on the same Node.
 *
 * Both are asked for `/health` from before they listen: each attempt is a connection of its own, the next one a
 * millisecond after one that was refused.
 */
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { bareEnvironment, freePort, ROOT } from '../machine.ts';
import { figureOf, type Measure } from '../measure.ts';
import { compare, inTurn } from '../sample.ts';
import { type Starter, shippedDirector, statusOf } from '../shipped-director.ts';

const TIMES = 11;
const PATIENCE_MS = 60_000;

export const director: Measure = {
  name: 'director',
  what: 'director, start → first 2xx on /health, beside a bare Express hello',

  async run(workshop) {
    const startDirector = await shippedDirector(workshop);
    const hello = writeHello(workshop.folder('hello'));
    const startHello: Starter = (port) =>
      workshop.node([hello], { env: { ...bareEnvironment(), PORT: String(port) } });
    workshop.say(`The director and a bare Express hello start, ${TIMES} of each`);
    const { ours, theirs, ratio } = compare(
      await inTurn(
        TIMES,
        () => firstAnswerMs(startDirector),
        () => firstAnswerMs(startHello),
      ),
    );
    return [
      figureOf({
        name: this.name,
        what: this.what,
        figure: ratio,
        unit: '×',
        target: { atMost: 1 },
        detail: `${ours.toFixed(0)} ms beside ${theirs.toFixed(0)} ms, medians of ${TIMES}`,
      }),
    ];
  },
};

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

async function firstAnswerMs(start: Starter): Promise<number> {
  const port = await freePort();
  const began = performance.now();
  const { child, stop } = start(port);
  try {
    for (let status = 0; status < 200 || status > 299; ) {
      if (child.exitCode !== null) throw new Error(`It ended with ${child.exitCode} before it answered`);
      if (performance.now() - began > PATIENCE_MS) throw new Error('It does not answer');
      if (status === 0) await sleep(1);
      status = await statusOf(port, '/health');
    }
    return performance.now() - began;
  } finally {
    await stop();
  }
}
