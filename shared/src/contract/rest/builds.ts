/** The routes of the dialect at `/api/builds`. */
import { z } from 'zod';
import { BuildRequest, RedeployRequest, SettingsRequest } from './builds-request.ts';
import { TextRefusal } from './dharma.ts';
import { route } from './route.ts';

const BUILD_STATUSES = ['PENDING', 'IN_PROGRESS', 'SUCCESS', 'FAILED'] as const;

/** Times are seconds since 1970. */
export const Build = z.object({
  pk: z.string().describe('`{repo}/{env}`'),
  sk: z.string().describe('KSUID.'),
  id: z.string().describe('`{repo}/{env}:{sk}`'),
  repo: z.string(),
  env: z.string().describe('As it was sent.'),
  branch: z.string(),
  version: z.string(),
  commit_hash: z.string(),
  s3_bucket: z.string(),
  s3_key: z.string(),
  build_number: z.string().optional(),
  status: z.enum(BUILD_STATUSES),
  stack_name: z.string(),
  execution_name: z.string().optional(),
  execution_arn: z.string().optional(),
  error_msg: z.string().optional(),
  created_at: z.number(),
  finished_at: z.number().optional(),
  updated_at: z.number(),
  requested_by: z.string(),
  auto_approve: z.literal(true).optional(),
  redeployed_from: z.string().optional(),
  promoted_from: z.string().optional(),
  downstream_envs: z.array(z.string()).optional().describe('Where it may be promoted to.'),
});
export type Build = z.output<typeof Build>;

export const BuildPage = z.object({
  builds: z.array(Build),
  count: z.number(),
  next: z.string().optional().describe('What `before` has to be for the next page; absent on the last.'),
});
export type BuildPage = z.output<typeof BuildPage>;

const Settings = z.object({
  repo: z.string(),
  initial_env: z.string().describe('Of a build that names none.'),
  downstream_env: z
    .record(z.string(), z.array(z.string()))
    .describe('Where builds of an environment may be promoted to.'),
});

const builds = { tag: 'builds', refusal: TextRefusal } as const;
const repo = z.string().describe('A slash in its name is %2F.');
const line = z.strictObject({ repo, env: z.string() });
const params = line.extend({ sk: z.string() });
const text = z.string().optional();
const page = {
  status: z.enum(BUILD_STATUSES).optional(),
  limit: text.describe('A number from 1 to 500; by default 20.'),
  before: text.describe('The `next` of the page before.'),
} as const;
const headers = z.object({
  'idempotency-key': z
    .string()
    .optional()
    .describe('The same again under the same key is answered with the same build.'),
});
const BEGUN = {
  202: { description: 'It is written, and will be started.', schema: Build },
  200: { description: 'It was there already.', schema: Build },
} as const;
const settings = { ...builds, params: z.strictObject({ repo }) } as const;

export const BUILD_ROUTES = {
  startBuild: route({
    ...builds,
    method: 'post',
    path: '/api/builds',
    summary: 'Deploy a build of a repository',
    description: 'Whatever type a body is sent with, it is read as JSON.',
    headers,
    body: BuildRequest,
    example: {
      repo: 'myapp',
      env: 'dev',
      branch: 'main',
      version: '123.abc',
      commit_hash: 'abc123',
      s3_bucket: 'my-artifacts-bucket',
    },
    answers: BEGUN,
    problems: [400, 409, 413],
  }),
  listBuilds: route({
    ...builds,
    method: 'get',
    path: '/api/builds',
    summary: 'The builds that there are, newest first',
    query: z.object({
      ...{ repo: text, env: text },
      ...page,
      latest: text.describe('`true`: only the newest of each repository in each environment.'),
      execution: text.describe('Only that which this execution is of, by its name or ARN.'),
    }),
    answers: { 200: { description: 'A page of them.', schema: BuildPage } },
    problems: [400],
  }),
  listBuildsOf: route({
    ...builds,
    method: 'get',
    path: '/api/builds/{repo}/{env}',
    summary: 'Those of one repository in one environment, newest first',
    params: line,
    query: z.object(page),
    answers: { 200: { description: 'A page of them.', schema: BuildPage } },
    problems: [400, 404],
  }),
  getBuild: route({
    ...builds,
    method: 'get',
    path: '/api/builds/{repo}/{env}/{sk}',
    summary: 'A build',
    params,
    answers: { 200: { description: 'All that is known of it.', schema: Build } },
    problems: [404],
  }),
  redeployBuild: route({
    ...builds,
    method: 'post',
    path: '/api/builds/{repo}/{env}/{sk}/redeploy',
    summary: 'Deploy the same code again, as a new build',
    ...{ params, headers },
    body: RedeployRequest,
    example: { auto_approve: true },
    answers: BEGUN,
    problems: [400, 404, 409, 413],
  }),
  promoteBuild: route({
    ...builds,
    method: 'post',
    path: '/api/builds/{repo}/{env}/{sk}/promote',
    summary: 'Deploy it in the environments that come after',
    params,
    answers: {
      202: { description: 'They are written, and will be started.', schema: BuildPage.omit({ next: true }) },
      200: { description: 'They were there already.', schema: BuildPage.omit({ next: true }) },
    },
    problems: [400, 404, 409, 413],
  }),
  getBuildSettings: route({
    ...settings,
    method: 'get',
    path: '/api/builds/-/settings/{repo}',
    summary: 'Where builds of a repository begin, and where they may be promoted to',
    answers: {
      200: {
        description: 'Its own, or those of every repository that has none.',
        schema: Settings.extend({
          from: z.string().optional().describe('Whose they are; absent for those of nobody.'),
        }),
      },
    },
    problems: [404],
  }),
  putBuildSettings: route({
    ...settings,
    method: 'put',
    path: '/api/builds/-/settings/{repo}',
    summary: 'Say so',
    query: z.object({ overwrite: text.describe('`true`: in the place of those that there are.') }),
    body: SettingsRequest,
    example: { initial_env: 'dev', downstream_env: { dev: ['staging'], staging: ['prod'] } },
    answers: {
      200: {
        description: 'They are kept.',
        schema: Settings.extend({ updated_by: z.string(), updated_at: z.number() }),
      },
    },
    problems: [400, 404, 409, 413],
  }),
} as const;
