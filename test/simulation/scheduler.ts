/**
 * Virtual time for everything that runs in one simulated world, and chance from one seed.
 *
 * One event happens at a time: it is taken off a heap ordered by time (what falls on one moment comes in an order
 * that the seed draws), runs, and all promises that it settled run out before the next. Between processes and the
 * outside stands `call`: a request travels, takes effect at one moment, and its answer travels back; on each leg
 * something may go wrong.
 *
 *   const sim = simulation({ seed: 7 });
 *   const one = sim.start('director-1', async (process) => { … process.clock, process.random … });
 *   sim.at(60_000, () => sim.kill(one));
 *   const stop = await sim.run({ until: () => isDone(), atMs: 3_600_000 });
 *   sim.digest() // the same for the same seed
 *
 * - A **killed** process never runs again: no answer, timer or message reaches it. A request of its that is under
 *   way arrives or does not, as the seed draws.
 * - A **paused** one keeps what reaches it until it is resumed: a zombie. Its requests under way arrive.
 * - Each process has its own clock, which may be ahead or behind (`skewMs`, `jump`); waiting is not affected.
 * - What a process that is `mortal` suffers by the seed at its calls is in `faults.ts`: `crash at store.commit`.
 */
import { type Clock, type Random, seededRandom } from '@service-director/shared/kit/clock.ts';
import { heap } from '@service-director/shared/kit/heap.ts';
import { digest } from './digest.ts';
import { type FaultKind, type FaultOptions, type Faults, faults, type Site } from './faults.ts';
import { arm, takeTrip } from './tripwires.ts';

/** When virtual time begins, in milliseconds since 1970. */
export const EPOCH = Date.UTC(2030, 0, 1);

export interface SimulationOptions {
  readonly seed: number;
  readonly faults?: FaultOptions;
  /** Hears every event as a line: when, who, what, where, of what. */
  readonly trace?: (line: string) => void;
  /** What happens to the mortal process that makes call number `call`, from 1 over all mortal processes: for a sweep. */
  readonly upsetAt?: { readonly call: number; readonly kind: 'crash-before' | 'crash-after' | 'pause' };
}

export interface Process {
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  state(): 'running' | 'paused' | 'dead';
}

export interface ProcessOptions {
  /** How far its clock is ahead. Default 0. */
  readonly skewMs?: number;
  /** Whether the seed may crash and pause it. Default no. */
  readonly mortal?: boolean;
  /** Called once when it was killed, by whomever, in the event in which it was. */
  readonly onDeath?: (process: Process) => void;
}

/** One passage to the outside. */
export interface Passage {
  readonly site: Site;
  /** How long each leg takes, in milliseconds. */
  readonly legMs: readonly [least: number, most: number];
  /** What the caller hears when that goes wrong. */
  failure(kind: FaultKind): unknown;
}

export interface RunOptions {
  /** Asked between events. */
  readonly until?: () => boolean;
  /** Virtual milliseconds since the beginning. */
  readonly atMs?: number;
  /** Events of this run. Default 1,000,000. */
  readonly events?: number;
}

export interface Stop {
  /** `idle`: nothing will ever happen again. */
  readonly because: 'until' | 'time' | 'events' | 'idle';
}

export interface Simulation {
  readonly seed: number;
  readonly faults: Faults;
  /** Milliseconds since the beginning. */
  now(): number;
  /** A stream of chance of its own for each name. */
  random(stream: string): Random;
  /** Begins a process. When what `main` returns rejects while it lives, the run fails. */
  start(name: string, main: (process: Process) => Promise<void> | void, options?: ProcessOptions): Process;
  kill(process: Process): void;
  pause(process: Process): void;
  resume(process: Process): void;
  /** Sets its clock forward, or back. */
  jump(process: Process, ms: number): void;
  /** Runs the effect at some moment, atomically, and resolves at a later one with what it gave, or threw. */
  call<T>(process: Process, passage: Passage, effect: () => T, about?: string): Promise<T>;
  /** Something that happens in the world, after so many milliseconds. The returned function calls it off. */
  at(afterMs: number, task: () => void): () => void;
  /** Something that reaches a process after so many milliseconds, if it lives, and once it is not paused. */
  reach(process: Process, afterMs: number, task: () => void, about: string): void;
  /** Faults stop; who listens mends what they left. */
  heal(): void;
  onHeal(listener: () => void): void;
  /** Called between events. What it throws ends the run. */
  onStep(listener: () => void): void;
  /** Runs it; what it throws ends the run, whoever called. */
  guard(task: () => void): void;
  /** Puts it into the history, and into the trace. */
  note(kind: string, about: string): void;
  /** Runs until something ends it. Rejects with the first error that no process can be blamed for hearing. */
  run(options?: RunOptions): Promise<Stop>;
  digest(): string;
  stats(): Stats;
}

export interface Stats {
  readonly events: number;
  readonly calls: number;
  /** Of mortal processes: what `upsetAt` counts. */
  readonly mortalCalls: number;
  /** Processes that were killed, by whomever. */
  readonly crashes: number;
}

interface Event {
  readonly at: number;
  readonly process: Host | undefined;
  readonly kind: string;
  readonly about: string;
  readonly task: () => void;
  isOff: boolean;
}

interface Host extends Process {
  readonly place: number;
  readonly options: ProcessOptions;
  condition: 'running' | 'paused' | 'dead';
  skewMs: number;
  /** What reached it while it was paused. */
  held: Event[];
}

/** How long what is lost is waited for; how long what is slow takes. Milliseconds. */
const LOST_MS = [1_000, 60_000] as const;
const SLOW_MS = [2_000, 90_000] as const;
const PAUSE_MS = [1_000, 90_000] as const;
const JUMP_MS = [-30_000, 30_000] as const;
const DEFAULT_EVENTS = 1_000_000;
/** So many events are set down for one turn of Node's loop. Between two of them all promises run out. */
const BATCH = 64;

/** Taken before any wire is laid. */
const soon = setImmediate;

const NOT_CARRIED_OUT: ReadonlySet<FaultKind> = new Set([
  'lost-request',
  'unavailable',
  'conflict',
  'precondition',
  'rate-limited',
  'denied',
]);

export function simulation(options: SimulationOptions): Simulation {
  const { seed, trace, upsetAt } = options;
  const history = digest();
  const queue = heap<Event>();
  const hosts = new Map<Process, Host>();
  const upsets = new Map<Site, Site>();
  const healers: (() => void)[] = [];
  const watchers: (() => void)[] = [];
  const troubles: unknown[] = [];
  const random = (stream: string): Random => seededRandom(seedOf(seed, stream));
  const [ties, legs, flights, fates] = [random('ties'), random('legs'), random('flights'), random('fates')];
  const misfortune = faults(seedOf(seed, 'faults'), options.faults);
  let now = 0;
  let events = 0;
  let calls = 0;
  let mortalCalls = 0;
  let crashes = 0;

  const between = ([least, most]: readonly [number, number], draw: Random): number =>
    Math.round(least + (most - least) * draw());

  /** Mostly short, at times long. */
  const legMs = ([least, most]: readonly [number, number]): number =>
    Math.max(1, Math.round(least + (most - least) * legs() ** 3));

  function push(
    afterMs: number,
    process: Host | undefined,
    kind: string,
    about: string,
    task: () => void,
  ): Event {
    const event = { at: now + afterMs, process, kind, about, task, isOff: false };
    // The earliest has the highest rank; times are whole, so the fraction orders what falls on one moment.
    queue.push(event, -(event.at + ties()));
    return event;
  }

  function write(process: Host | undefined, kind: string, about: string): void {
    history.number(now);
    history.number(process?.place ?? -1);
    history.text(kind);
    history.text(about);
    trace?.(`${(now / 1_000).toFixed(3).padStart(10)} ${process?.name ?? 'world'} ${kind} ${about}`);
  }

  function hostOf(process: Process): Host {
    const host = hosts.get(process);
    if (!host) throw new Error(`${process.name} is of another simulation`);
    return host;
  }

  function clockOf(host: () => Host): Clock {
    return {
      now: () => EPOCH + now + host().skewMs,
      sleep: (ms, signal) =>
        new Promise((resolve, reject) => {
          if (signal?.aborted) return reject(signal.reason);
          const stop = (): void => {
            event.isOff = true;
            reject(signal?.reason);
          };
          const event = push(wholeMs(ms), host(), 'wakes', '', () => {
            signal?.removeEventListener('abort', stop);
            resolve();
          });
          signal?.addEventListener('abort', stop, { once: true });
        }),
      after(ms, task) {
        const event = push(wholeMs(ms), host(), 'timer', '', task);
        return () => {
          event.isOff = true;
        };
      },
    };
  }

  function start(
    name: string,
    main: (process: Process) => Promise<void> | void,
    processOptions: ProcessOptions = {},
  ): Process {
    const host: Host = {
      name,
      place: hosts.size,
      clock: clockOf(() => host),
      random: random(`process ${hosts.size}`),
      state: () => host.condition,
      options: processOptions,
      condition: 'running',
      skewMs: processOptions.skewMs ?? 0,
      held: [],
    };
    hosts.set(host, host);
    push(1, host, 'starts', '', () => {
      Promise.resolve(main(host)).catch((error) => {
        if (host.condition !== 'dead') troubles.push(error);
      });
    });
    return host;
  }

  function kill(process: Process): void {
    const host = hostOf(process);
    if (host.condition === 'dead') return;
    host.condition = 'dead';
    host.held = [];
    crashes++;
    write(host, 'dies', '');
    host.options.onDeath?.(host);
  }

  function pause(process: Process): void {
    const host = hostOf(process);
    if (host.condition !== 'running') return;
    host.condition = 'paused';
    write(host, 'pauses', '');
  }

  function resume(process: Process): void {
    const host = hostOf(process);
    if (host.condition !== 'paused') return;
    host.condition = 'running';
    write(host, 'resumes', '');
    for (const { kind, about, task, isOff } of host.held.splice(0)) {
      if (!isOff) push(1, host, kind, about, task);
    }
  }

  function jump(process: Process, ms: number): void {
    const host = hostOf(process);
    host.skewMs += ms;
    write(host, 'jumps', `${ms} ms`);
  }

  /** What the seed does to a mortal process at this call. */
  function fateAt(host: Host, site: Site): FaultKind | undefined {
    if (!host.options.mortal) return undefined;
    mortalCalls++;
    if (upsetAt?.call === mortalCalls) return upsetAt.kind;
    const upset =
      upsets.get(site) ??
      misfortune.site(`process at ${site.name}`, ['crash-before', 'crash-after', 'pause', 'clock-jump']);
    upsets.set(site, upset);
    return upset.draw();
  }

  function suffer(host: Host, fate: FaultKind | undefined): void {
    if (fate === 'crash-before') kill(host);
    if (fate === 'clock-jump') jump(host, between(JUMP_MS, fates));
    if (fate !== 'pause') return;
    pause(host);
    push(between(PAUSE_MS, fates), undefined, 'resumes', host.name, () => resume(host));
  }

  function call<T>(process: Process, passage: Passage, effect: () => T, about = ''): Promise<T> {
    const host = hostOf(process);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    if (host.condition === 'dead') return promise;
    const { site } = passage;
    calls++;
    const fate = fateAt(host, site);
    suffer(host, fate);
    if (fate === 'crash-before') return promise;
    const fault = site.draw();

    function arrive(): void {
      if (host.condition === 'dead' && flights() < 0.5) {
        write(host, `loses ${site.name}`, about);
        return;
      }
      const said = answerTo(fault, passage, effect);
      if (fate === 'crash-after') kill(host);
      if (host.condition === 'dead') return;
      if (fault) write(host, fault, `${site.name} ${about}`);
      const kind = 'error' in said ? 'hears an error' : 'hears';
      push(legMs(passage.legMs) + delayOf(fault, 'answer'), host, kind, site.name, () =>
        'error' in said ? reject(said.error) : resolve(said.value),
      );
    }

    // What is under way belongs to nobody: it arrives though its sender be paused or dead.
    const under = legMs(passage.legMs) + delayOf(fault, 'request');
    push(under, undefined, site.name, `${about} of ${host.name}`, arrive);
    return promise;
  }

  function delayOf(fault: FaultKind | undefined, leg: 'request' | 'answer'): number {
    if (fault === 'slow') return leg === 'request' ? between(SLOW_MS, fates) : 0;
    const isLost = fault === 'lost-request' || fault === 'lost-answer';
    return isLost && leg === 'answer' ? between(LOST_MS, fates) : 0;
  }

  /** Takes the next event. False when there is none. */
  function next(): boolean {
    const event = queue.pop();
    if (!event) return false;
    if (event.isOff || event.process?.condition === 'dead') return true;
    now = Math.max(now, event.at);
    if (event.process?.condition === 'paused') {
      event.process.held.push(event);
      return true;
    }
    events++;
    write(event.process, event.kind, event.about);
    event.task();
    return true;
  }

  function demandNoTrouble(): void {
    const trip = takeTrip();
    if (trip !== undefined) throw new Error(trip);
    if (troubles.length > 0) throw troubles[0];
    for (const watch of watchers) watch();
  }

  function run({ until, atMs = Number.POSITIVE_INFINITY, events: most = DEFAULT_EVENTS }: RunOptions = {}) {
    const last = events + most;
    const end =
      atMs < Number.POSITIVE_INFINITY ? push(atMs - now, undefined, 'stops', '', () => {}) : undefined;

    /** Why it is over, if it is; otherwise one thing has happened. */
    function turn(): Stop['because'] | undefined {
      demandNoTrouble();
      if (until?.()) return 'until';
      if (now >= atMs) return 'time';
      if (events >= last) return 'events';
      return next() ? undefined : 'idle';
    }

    return new Promise<Stop>((resolve, reject) => {
      let isOver = false;
      const one = (): void => {
        if (isOver) return;
        try {
          arm(true);
          const because = turn();
          if (because === undefined) return;
          isOver = true;
          resolve({ because });
        } catch (error) {
          isOver = true;
          reject(error);
        }
        if (end) end.isOff = true;
        arm(false);
      };
      const batch = (): void => {
        for (let place = 0; place < BATCH; place++) soon(one);
        soon(() => {
          // What runs between two turns of the loop is not simulated.
          arm(false);
          if (!isOver) batch();
        });
      };
      batch();
    });
  }

  return {
    seed,
    faults: misfortune,
    now: () => now,
    random,
    start,
    kill,
    pause,
    resume,
    jump,
    call,
    at(afterMs, task) {
      const event = push(wholeMs(afterMs), undefined, 'happens', '', task);
      return () => {
        event.isOff = true;
      };
    },
    reach(process, afterMs, task, about) {
      push(wholeMs(afterMs), hostOf(process), 'gets', about, task);
    },
    heal() {
      misfortune.heal();
      write(undefined, 'heals', '');
      for (const heal of healers) heal();
    },
    onHeal: (listener) => void healers.push(listener),
    onStep: (listener) => void watchers.push(listener),
    guard(task) {
      try {
        task();
      } catch (error) {
        troubles.push(error);
      }
    },
    note: (kind, about) => write(undefined, kind, about),
    run,
    digest: () => history.toString(),
    stats: () => ({ events, calls, mortalCalls, crashes }),
  };
}

type Answer<T> = { readonly value: T } | { readonly error: unknown };

/** Carries it out, or does not, and what the caller hears of it. */
function answerTo<T>(fault: FaultKind | undefined, passage: Passage, effect: () => T): Answer<T> {
  if (fault === undefined || fault === 'slow') return attempt(effect);
  if (!NOT_CARRIED_OUT.has(fault)) attempt(effect);
  return { error: passage.failure(fault) };
}

function attempt<T>(effect: () => T): Answer<T> {
  try {
    return { value: effect() };
  } catch (error) {
    return { error };
  }
}

/** Time passes with every wait, so that nothing can turn for ever on one moment. */
function wholeMs(ms: number): number {
  return Math.max(1, Math.ceil(ms));
}

function seedOf(seed: number, stream: string): number {
  const mixed = digest();
  mixed.number(seed);
  mixed.text(stream);
  return Number.parseInt(mixed.toString().slice(0, 8), 16);
}
