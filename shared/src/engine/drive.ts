/** Does what the machine of `reconcile.ts` asks for, one request after the other. */
import { CloudError } from '../cloud/error.ts';
import type { Clock, Random } from '../kit/clock.ts';
import { never } from '../kit/never.ts';
import type { Observation, Pending } from '../resources/kind.ts';
import {
  type Action,
  begin,
  type Event,
  type Goal,
  type Outcome,
  type Polled,
  type Request,
  step,
} from './reconcile.ts';

/** What the driver needs of the world. */
export interface Reach {
  observe(): Promise<Observation | undefined>;
  create(): Promise<Pending>;
  poll(operation: string): Promise<Polled>;
  /** Resolves once the intent is durable. When it rejects (the lease is lost, the disk is full), the drive rejects with it: nothing may be done unrecorded. */
  record(action: Action): Promise<void>;
}

/** Nothing more may be done: not a failure of the unit, the whole walk ends here. */
export class Halted extends Error {}

export interface DriveContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Calls to the cloud take a place; waiting does not. */
  limit<T>(call: () => Promise<T>): Promise<T>;
  waiting(because: string): void;
  /** Called right before every call that changes anything; throws Halted when it must not be made any more. */
  demandFresh?(): void;
}

export async function drive(goal: Goal, reach: Reach, context: DriveContext): Promise<Outcome> {
  let state = begin(goal);
  let observation: Observation | undefined;

  async function answer(request: Exclude<Request, { type: 'finish' | 'record' }>): Promise<Event> {
    switch (request.type) {
      case 'observe':
        observation = await context.limit(() => reach.observe());
        return { type: 'observed', seen: observation };
      case 'act': {
        const pending = await context.limit(async () => {
          context.signal.throwIfAborted();
          context.demandFresh?.();
          return perform(request.action, request.fields, observation, reach);
        });
        return pending ? { type: 'acted', operation: pending.operation } : { type: 'acted' };
      }
      case 'poll':
        return { type: 'polled', result: await reach.poll(request.operation) };
      case 'wait': {
        if (request.ms >= TELLING_MS || request.leastMs > 0) context.waiting(request.because);
        // Full jitter: of many that were refused at once, few come back at once.
        const ms = Math.max(request.leastMs, SHORTEST_MS, Math.round(request.ms * context.random()));
        await context.clock.sleep(ms, context.signal);
        return { type: 'waited', ms };
      }
      default:
        return never(request);
    }
  }

  for (;;) {
    const { asked } = state;
    if (asked.type === 'finish') return asked.outcome;
    // Nothing new is begun after a cancel; a call that is under way is heard to its end.
    if (context.signal.aborted && asked.type !== 'poll') {
      state = step(state, { type: 'cancelled' });
    } else if (asked.type === 'record') {
      await reach.record(asked.action);
      state = step(state, { type: 'recorded' });
    } else {
      state = step(state, await answer(asked).catch((error) => misfortune(error, context.signal)));
    }
  }
}

function misfortune(error: unknown, signal: AbortSignal): Event {
  if (error instanceof Halted) throw error;
  return signal.aborted && error === signal.reason
    ? { type: 'cancelled' }
    : { type: 'failed', error: CloudError.from(error) };
}

/** Milliseconds. */
const SHORTEST_MS = 20;
/** Waits that are shorter are not worth a word. */
const TELLING_MS = 400;

function perform(
  action: Action,
  fields: readonly string[],
  observation: Observation | undefined,
  reach: Reach,
): Promise<Pending> {
  switch (action) {
    case 'create':
      return reach.create();
    case 'update':
      if (!observation) throw new CloudError('internal', 'an update without an observation');
      return observation.update(fields);
    case 'remove':
      if (!observation) throw new CloudError('internal', 'a removal without an observation');
      return observation.remove();
    default:
      return never(action);
  }
}
