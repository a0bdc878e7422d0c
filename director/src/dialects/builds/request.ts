/** Requests of the dialect at `/api/builds`, in its own spelling. */
import { BundleSource } from '@service-director/shared/model/bundle-source.ts';
import { z } from 'zod';
import { Environment } from '../environment.ts';
import { bundleOf } from './executions.ts';
import { Refused } from './refused.ts';

/** As GitHub and others name them, with their owner or without. */
const REPO = /^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)*$/;
const SK = /^[0-9A-Za-z]{16,40}$/;
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

export const Start = z
  .strictObject({
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
  })
  .transform((start) => ({
    ...start,
    s3_key: start.s3_key ?? `${start.repo}/${start.branch}/${start.version}`,
  }))
  .superRefine(({ s3_bucket, s3_key }, { addIssue }) => {
    if (!BundleSource.safeParse({ storage: bundleOf({ s3_bucket, s3_key }) }).success)
      addIssue({ code: 'custom', message: 's3_bucket and s3_key name no object of Cloud Storage' });
  });
export type Start = z.output<typeof Start>;

export const Redeploy = z.strictObject({ auto_approve: z.boolean().default(false) });

export const SettingsRequest = z.strictObject({
  initial_env: Environment.default('dev'),
  downstream_env: z.record(Environment, z.array(Environment).max(20)).default({}),
});

/** Throws Refused 400 with all mistakes in one text. */
export function parse<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const texts = result.error.issues.map(({ path, message }) => {
    const field = path.map(String).join('.');
    return field === '' || message.includes(String(path[0])) ? message : `${field}: ${message}`;
  });
  throw new Refused(400, texts.join('; '));
}

/** Throws Refused 404 for what no build can be called. */
export function idFrom(params: Readonly<Record<string, unknown>>): { repo: string; env: string; sk: string } {
  const [repo, env, sk] = [String(params.repo), String(params.env), String(params.sk)];
  if (REPO.test(repo) && repo.length <= 100 && Environment.safeParse(env).success && SK.test(sk))
    return { repo, env, sk };
  throw new Refused(404, 'Build not found');
}

export function isRepo(text: string): boolean {
  return text.length <= 100 && REPO.test(text);
}
