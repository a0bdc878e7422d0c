/** What the director holds while a tool floods it with 200 MB of output, beside what it held before. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { figureOf, type Measure, Missing } from '../measure.ts';
import { openModuleDirector } from '../module-director.ts';

const MEGABYTES = 200;
/** Of a program that the tool runs; the tool says each of them twice in a line of its own, with as much about it. */
const LINE = 'a line of two hundred characters '.padEnd(199, '.');
const LINES = 260_000;
const REST_MS = 5_000;
const LOOK_MS = 20;

/** Says nothing but that line, so many times. */
const codeOf = (said: string, lines: number): string => `resource "terraform_data" "flood" {
  provisioner "local-exec" {
    command = "yes '${said}' | head -n ${lines}"
  }
}
`;

export const flood: Measure = {
  name: 'flood',
  what: `director, resident memory while ${MEGABYTES} MB of a tool's output stream through it, above rest`,

  async run(workshop) {
    if (process.platform !== 'linux')
      throw new Missing('what a process holds is read from /proc, which only Linux has');
    const director = await openModuleDirector(workshop);
    try {
      await sleep(REST_MS);
      const rest = residentMebibytes(director.pid);
      workshop.say(`${MEGABYTES} MB of output stream through the director`);
      const seen = watch(director.pid, director.workRoot);
      const seconds = await director.deploy(codeOf(LINE, LINES));
      const { mebibytes, bytes } = seen.stop();
      if (bytes < MEGABYTES * 1_000_000)
        throw new Error(`Only ${(bytes / 1_000_000).toFixed(0)} MB of output were there to be followed`);
      return [
        figureOf({
          name: this.name,
          what: this.what,
          figure: mebibytes - rest,
          unit: 'MiB',
          target: { atMost: 100 },
          detail: `${mebibytes.toFixed(0)} MiB at most, ${rest.toFixed(0)} MiB at rest; ${(bytes / 1_000_000).toFixed(0)} MB in ${seconds.toFixed(0)} s`,
        }),
      ];
    } finally {
      await director.stop();
    }
  },
};

interface Seen {
  /** The most that the process held. */
  readonly mebibytes: number;
  /** The longest that a file of the tool's output was. */
  readonly bytes: number;
}

/** Looks every now and then, until it is stopped. */
function watch(pid: number, workRoot: string): { stop(): Seen } {
  let seen: Seen = { mebibytes: 0, bytes: 0 };
  const looking = setInterval(() => {
    seen = {
      mebibytes: Math.max(seen.mebibytes, residentMebibytes(pid)),
      bytes: Math.max(seen.bytes, ...outputsIn(workRoot)),
    };
  }, LOOK_MS);
  return {
    stop() {
      clearInterval(looking);
      return seen;
    },
  };
}

/** Bytes of each file that a tool writes its output to. */
function outputsIn(workRoot: string): number[] {
  return readdirSync(workRoot).map((room) => {
    const file = join(workRoot, room, 'log', 'apply.out');
    return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  });
}

function residentMebibytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kibibytes) / 1024;
}
