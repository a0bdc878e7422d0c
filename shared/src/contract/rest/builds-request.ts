/** What is asked of the dialect at `/api/builds`, in its own spelling. */
import { z } from 'zod';
import { Environment } from './environment.ts';

/** As GitHub and others name them, with their owner or without. */
export const REPO = /^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)*$/;
export const SK = /^[0-9A-Za-z]{16,40}$/;
const PATH = /^(?!-)(?!.*\.\.)[\w./@+=-]+$/;

const Repo = z
  .string({ error: 'repo is required' })
  .max(100)
  .regex(REPO, { error: 'repo has letters, digits and any of _ . - with a slash between' });
const part = (name: string, most: number): z.ZodString =>
  z
    .string({ error: `${name} is required` })
    .min(1, { error: `${name} is required` })
    .max(most)
    .regex(PATH, { error: `${name} has letters, digits and any of _ . / @ + = - without ".."` });

/** The least that a build is asked for with, and its environment. */
export const BuildRequest = z.strictObject({
  repo: Repo,
  env: Environment.optional(),
  branch: part('branch', 200),
  version: part('version', 100),
  /** Generated where there is none; who sends the same again gets the same build. */
  sk: z.string().regex(SK, { error: 'sk has 16 to 40 letters and digits' }).optional(),
  commit_hash: z
    .string({ error: 'commit_hash is required' })
    .regex(/^[0-9A-Za-z]{3,64}$/, { error: 'commit_hash has 3 to 64 letters and digits' }),
  s3_bucket: z.string({ error: 's3_bucket is required' }),
  s3_key: part('s3_key', 900).optional(),
  build_number: z.string().max(18).regex(/^\d+$/).optional(),
  auto_approve: z.boolean().default(false),
});

export const RedeployRequest = z.strictObject({ auto_approve: z.boolean().default(false) });

export const SettingsRequest = z.strictObject({
  initial_env: Environment.default('dev'),
  downstream_env: z.record(Environment, z.array(Environment).max(20)).default({}),
});
