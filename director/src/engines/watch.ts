/** How an engine's tool is: asked now and then, learnt from each of its runs, and told to whoever is about to need it. */
import { CloudError } from '@service-director/shared/cloud/error.ts';
import type { EngineContext } from '@service-director/shared/engine/engine.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { remembered } from '../http/remembered.ts';
import { after, type Breaker, CLOSED, type Finding, isDue } from './breaker.ts';

export interface ToolHealth {
  readonly status: 'healthy' | 'degraded' | 'unhealthy';
  /** Of the tool. */
  readonly version?: string;
  /** What is missing, and what to do about it. */
  readonly message?: string;
}

export interface Looked extends ToolHealth {
  /** Whether the tool itself could be run, whatever else is wrong. */
  readonly runs: boolean;
}

/** What a run showed of the tool itself: it ended by itself, well or not; or there was no starting it, or it was ended by force. */
export type RunSign = 'ran' | 'broken';

/** Why it is not asked for a while. */
export interface Pause {
  readonly because: string;
  /** When it is asked next, in milliseconds since 1970. */
  readonly until: number;
}

export interface ToolWatch {
  /** As it was found a minute ago at most. */
  health(): Promise<ToolHealth>;
  /** Undefined where new work may come. One whose pause is over is asked first, so that nobody's work is the test. */
  pause(): Promise<Pause | undefined>;
  /** Waits for the end of a pause, and for what is found then. Rejects with a CloudError where it still does not work, and with the signal's reason. */
  demand(context: Pick<EngineContext, 'signal' | 'waiting'>): Promise<void>;
  noteRun(sign: RunSign): void;
  /** Asks every minute from now on. */
  start(): void;
  stop(): void;
}

export interface WatchOptions {
  /** `Terraform`. */
  readonly name: string;
  readonly clock: Clock;
  look(signal: AbortSignal): Promise<Looked>;
  /** Called where it turned from one state into another. */
  onTurn(breaker: Breaker): void;
}

const EVERY_MS = 60_000;
/** Between two questions, where a pause is just over. */
const LEAST_MS = 1_000;

export function toolWatch({ name, clock, look, onTurn }: WatchOptions): ToolWatch {
  const stopping = new AbortController();
  let breaker: Breaker = CLOSED;
  let last: { readonly looked: Looked; readonly at: number } | undefined;
  let calm = (): void => {};

  function note(finding: Finding): void {
    const before = breaker;
    breaker = after(before, finding, clock.now());
    if (breaker.state !== before.state) onTurn(breaker);
  }

  /** One question for all that ask at the same time. */
  const ask = remembered(0, clock, async () => {
    const looked = await look(stopping.signal);
    if (stopping.signal.aborted) return;
    last = { looked, at: clock.now() };
    note(looked.runs ? { works: true } : { works: false, because: looked.message ?? `${name} does not run` });
  });

  async function pause(): Promise<Pause | undefined> {
    // One that cannot even be asked is no better than it was.
    if (isDue(breaker, clock.now())) await ask().catch(() => {});
    return breaker.state === 'open' ? breaker : undefined;
  }

  function isFresh(): boolean {
    return last !== undefined && Math.abs(clock.now() - last.at) < EVERY_MS;
  }

  function askLater(): void {
    const ms = breaker.state === 'open' ? Math.max(LEAST_MS, breaker.until - clock.now()) : EVERY_MS;
    calm = clock.after(Math.min(ms, EVERY_MS), () => {
      void ask()
        .catch(() => {})
        .then(() => stopping.signal.aborted || askLater());
    });
  }

  return {
    pause,
    async health() {
      if (!isFresh() || isDue(breaker, clock.now())) await ask();
      return toldOf(breaker, last?.looked);
    },
    async demand({ signal, waiting }) {
      if (breaker.state !== 'open') return;
      if (!isDue(breaker, clock.now())) {
        waiting(`${breaker.because}; it is asked again at ${timestamp(breaker.until)}`);
        await clock.sleep(Math.max(0, breaker.until - clock.now()), signal);
      }
      const still = await unlessAborted(pause(), signal);
      // Nobody was asked: what is known is from before.
      stopping.signal.throwIfAborted();
      if (still) throw new CloudError('precondition', still.because, { fix: 'mend it, then run it again' });
    },
    noteRun(sign) {
      if (sign === 'ran') note({ works: true });
      // One piece of work may be too large for the machine, which is nothing against all others: the tool itself is asked.
      else void ask().catch(() => {});
    },
    start: askLater,
    stop() {
      stopping.abort(new Error('The director stops'));
      calm();
    },
  };
}

/** Whoever is told to stop does not wait for the answer, and does not judge by it. */
async function unlessAborted<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let stop = (): void => {};
  const aborted = new Promise<void>((resolve) => {
    stop = resolve;
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    await Promise.race([answer, aborted]);
    signal.throwIfAborted();
    return await answer;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function toldOf(breaker: Breaker, looked: Looked | undefined): ToolHealth {
  if (breaker.state === 'open')
    return {
      status: 'unhealthy',
      message: `${breaker.because}; it is asked again at ${timestamp(breaker.until)}`,
    };
  const { runs: _, ...health } = looked ?? { runs: false, status: 'unhealthy' };
  if (breaker.state !== 'half-open' || health.status !== 'healthy') return health;
  return { ...health, status: 'degraded', message: 'it runs again, after it did not several times' };
}
