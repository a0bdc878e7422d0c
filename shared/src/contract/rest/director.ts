/** The routes that tell of the director itself, and of how it has done. */
import { z } from 'zod';
import { route } from './route.ts';

export const Finding = z.object({
  /** What was looked at: `tool terraform`, `credentials aws`, `deployment <id>`. */
  check: z.string(),
  status: z.enum(['ok', 'warning', 'failed']),
  /** What was found. Names settings, and never what is in them. */
  detail: z.string(),
  /** What to do about it. */
  fix: z.string().optional(),
});
export type Finding = z.output<typeof Finding>;

export const Doctor = z.object({
  /** The worst of all. */
  status: Finding.shape.status,
  checks: z.array(Finding),
});
export type Doctor = z.output<typeof Doctor>;

export const SIZES = ['1-5', '6-20', '21-50', '51+'] as const;

export const Durations = z.object({
  sizes: z.array(
    z.object({
      /** How many resources a deployment changed, those within modules counted each. */
      resources: z.enum(SIZES),
      /** How many of that size succeeded. */
      deployments: z.number(),
      /** From its begin, or from the last approval, to its end; absent where there is none of that size. */
      median_seconds: z.number().optional(),
      average_seconds: z.number().optional(),
      longest_seconds: z.number().optional(),
    }),
  ),
});
export type Durations = z.output<typeof Durations>;

export const DIRECTOR_ROUTES = {
  getDoctor: route({
    method: 'get',
    path: '/v1/doctor',
    tag: 'director',
    summary: 'What may keep deployments from going through, looked at now',
    description:
      'The tools that are there and their versions; for which clouds there are credentials; what of the network is ' +
      'reached; which deployments nothing happens to, since when, and what they wait for; the disk where tools work. ' +
      'Takes a role for reading everywhere, and a few seconds.',
    answers: { 200: { description: 'What was found; what is well, too.', schema: Doctor } },
  }),
  getDurations: route({
    method: 'get',
    path: '/v1/durations',
    tag: 'director',
    summary: 'How long deployments took that succeeded, by how many resources they changed',
    answers: { 200: { description: 'The four sizes, the smallest first.', schema: Durations } },
  }),
} as const;
