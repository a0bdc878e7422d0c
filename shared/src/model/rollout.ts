/** How requests come to a new revision of a service: as a user writes it, and as the steps that it means. */
import { z } from 'zod';
import { durationWithin, secondsOf } from './fields.ts';
import { section } from './section.ts';

const Percent = z.number().int().min(1).max(99);

const Check = section({
  path: z
    .string()
    .regex(/^\/[^\s#]*$/, { error: 'a path begins with / and has neither spaces nor #' })
    .max(500)
    .optional()
    .meta({ description: 'Asked of the new revision; by default the path of the health check, if any' }),
  interval: durationWithin('1s', '5m')
    .prefault('5s')
    .meta({ description: 'How long from one look to the next' }),
  failures: z
    .number()
    .int()
    .min(1)
    .max(20)
    .default(3)
    .meta({ description: 'So many looks in a row that go wrong end the rollout' }),
  max_error_percent: z
    .number()
    .min(0)
    .max(100)
    .optional()
    .meta({ description: 'The requests of its users that it may answer with 5xx, from the twentieth on' }),
});

export const Rollout = section({
  strategy: z.enum(['canary', 'rolling', 'blue-green'], {
    error: 'a strategy is canary, rolling or blue-green; without a rollout all requests go over at once',
  }),
  steps: z
    .array(Percent)
    .min(1)
    .max(20)
    .optional()
    .meta({ description: 'canary: percents of the requests, one step after the other; default 10, 50' }),
  batches: z
    .number()
    .int()
    .min(2)
    .max(20)
    .optional()
    .meta({ description: 'rolling: so many equal parts of the requests; default 4' }),
  hold: durationWithin('1s', '1h')
    .prefault('60s')
    .meta({ description: 'How long each step is watched before the next' }),
  check: Check.prefault({}),
})
  .refine(({ strategy, steps }) => steps === undefined || strategy === 'canary', {
    error: 'steps are those of a canary; a rolling one has batches, blue-green has one step',
    path: ['steps'],
  })
  .refine(({ strategy, batches }) => batches === undefined || strategy === 'rolling', {
    error: 'batches are those of a rolling one; a canary has steps',
    path: ['batches'],
  })
  .refine(({ steps = [] }) => steps.every((step, index) => step > (steps[index - 1] ?? 0)), {
    error: 'each step is larger than the one before',
    path: ['steps'],
  });
export type Rollout = z.output<typeof Rollout>;

/** As a service's spec has it. */
export const RolloutSpec = z.strictObject({
  /** Percents of the requests, growing, without 0 and 100. */
  steps: z.array(z.number()),
  holdSeconds: z.number(),
  /** Asked of the new revision; empty: nothing is asked. */
  checkPath: z.string(),
  intervalSeconds: z.number(),
  failures: z.number(),
  maxErrorPercent: z.number().optional(),
  /** The old revision stays, warm and without requests, and what went over is watched: there is a way back. */
  keepsOld: z.boolean(),
});
export type RolloutSpec = z.output<typeof RolloutSpec>;

const DEFAULT_STEPS = [10, 50];
const DEFAULT_BATCHES = 4;

export function rolloutSpec(
  { strategy, steps = DEFAULT_STEPS, batches = DEFAULT_BATCHES, hold, check }: Rollout,
  healthPath: string,
): RolloutSpec {
  const { path = healthPath, interval, failures, max_error_percent: most } = check;
  const parts = Array.from({ length: batches - 1 }, (_, index) => Math.round((100 * (index + 1)) / batches));
  return {
    steps: strategy === 'canary' ? steps : strategy === 'rolling' ? parts : [],
    holdSeconds: secondsOf(hold),
    checkPath: path,
    intervalSeconds: secondsOf(interval),
    failures,
    ...(most === undefined ? {} : { maxErrorPercent: most }),
    keepsOld: strategy === 'blue-green',
  };
}

/** About how long it takes beside the work itself. */
export function rolloutSeconds({ steps, holdSeconds, keepsOld }: RolloutSpec): number {
  return holdSeconds * (steps.length + (keepsOld ? 1 : 0));
}
