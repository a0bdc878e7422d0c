/** Requests of the dialect at `/api/builds`, in its own spelling. */
import { BuildRequest, REPO, SK } from '@service-director/shared/contract/rest/builds-request.ts';
import { Environment } from '@service-director/shared/contract/rest/environment.ts';
import { BundleSource } from '@service-director/shared/model/bundle-source.ts';
import type { z } from 'zod';
import { bundleOf } from './executions.ts';
import { Refused } from './refused.ts';

export const Start = BuildRequest.transform((start) => ({
  ...start,
  s3_key: start.s3_key ?? `${start.repo}/${start.branch}/${start.version}`,
})).superRefine(({ s3_bucket, s3_key }, { addIssue }) => {
  if (!BundleSource.safeParse({ storage: bundleOf({ s3_bucket, s3_key }) }).success)
    addIssue({ code: 'custom', message: 's3_bucket and s3_key name no object of Cloud Storage' });
});
export type Start = z.output<typeof Start>;

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
