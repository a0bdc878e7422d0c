/**
 * Threads that share tasks, one each at a time.
 *
 *   await using crew = hire({ jobs: 2 });
 *   const played = await crew.perform({ type: 'play', story: { seed: 7 }, twice: true });
 *
 * With `patches` the product that they run has these lines changed.
 */
import { Worker } from 'node:worker_threads';
import type { Answers, Task } from './tasks.ts';

/** Text that occurs once in a file of this repository, and what stands there instead. */
export interface Patch {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface CrewData {
  readonly patches: readonly Patch[];
}

export type Told = { readonly value: Answers[keyof Answers] } | { readonly error: string };

export interface Crew extends AsyncDisposable {
  readonly jobs: number;
  /** Rejects when the task itself breaks; what does not hold in it is in the answer. */
  perform<Type extends Task['type']>(task: Extract<Task, { type: Type }>): Promise<Answers[Type]>;
}

interface Waiting {
  readonly task: Task;
  resolve(value: Answers[keyof Answers]): void;
  reject(error: unknown): void;
}

interface Hand {
  readonly worker: Worker;
  doing: Waiting | undefined;
}

export function hire({ jobs, patches = [] }: { jobs: number; patches?: readonly Patch[] }): Crew {
  const line: Waiting[] = [];
  const hands: Hand[] = [];
  let gone: Error | undefined;

  function newHand(): Hand {
    const workerData: CrewData = { patches };
    // The thread needs none of what this process was started with.
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData, execArgv: [] });
    const hand: Hand = { worker, doing: undefined };
    worker.on('message', (told: Told) => {
      const { doing } = hand;
      hand.doing = undefined;
      if ('error' in told) doing?.reject(new Error(told.error));
      else doing?.resolve(told.value);
      next(hand);
    });
    const lose = (error: Error): void => {
      gone ??= error;
      hand.doing?.reject(gone);
      for (const waiting of line.splice(0)) waiting.reject(gone);
    };
    worker.on('error', (error) => lose(error instanceof Error ? error : new Error(String(error))));
    worker.on('exit', (code) => lose(new Error(`A thread ended with ${code} and was not asked to`)));
    return hand;
  }

  function next(hand: Hand): void {
    if (hand.doing) return;
    hand.doing = line.shift();
    if (hand.doing) hand.worker.postMessage(hand.doing.task);
  }

  function perform<Type extends Task['type']>(task: Extract<Task, { type: Type }>): Promise<Answers[Type]> {
    return new Promise((resolve, reject) => {
      if (gone) return reject(gone);
      // The answer has the type of its task: `tasks.ts` holds that.
      line.push({ task, resolve: (value) => resolve(value as Answers[Type]), reject });
      const idle = hands.find(({ doing }) => !doing);
      if (!idle && hands.length < jobs) hands.push(newHand());
      for (const hand of hands) next(hand);
    });
  }

  return {
    jobs,
    perform,
    async [Symbol.asyncDispose]() {
      gone ??= new Error('The crew was dismissed');
      await Promise.all(hands.map(({ worker }) => worker.terminate()));
    },
  };
}

/** Does something with each of a list, so many at a time; ends early when `enough` says so. */
export async function inTurn<T>(
  list: Iterable<T>,
  atOnce: number,
  task: (one: T) => Promise<void>,
  enough: () => boolean = () => false,
): Promise<void> {
  const iterator = list[Symbol.iterator]();
  async function lane(): Promise<void> {
    for (let { done, value } = iterator.next(); !done && !enough(); { done, value } = iterator.next())
      await task(value as T);
  }
  await Promise.all(Array.from({ length: atOnce }, lane));
}
