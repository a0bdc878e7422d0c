/** What a user of the generated types writes, as text: the types are only there once the test has made them. */

/**
 * Lists, sends a dry run, reads it to its end, and is refused twice; prints what it saw as one line of JSON. Its
 * arguments: where the director is, the id of the command, the project.
 */
export const PROGRAM = `import { setTimeout } from 'node:timers/promises';
import createClient from 'openapi-fetch';
import type { components, paths } from './director.ts';

type Schemas = components['schemas'];

const [baseUrl = '', id = '', project = ''] = process.argv.slice(2);
const director = createClient<paths>({ baseUrl });

function refused(problem: Schemas['Problem']): Error {
  return new Error(\`\${problem.title}: \${problem.detail}\`);
}

async function listed(): Promise<Schemas['DeploymentBrief'][]> {
  const { data, error } = await director.GET('/v1/deployments', {
    params: { query: { limit: 10, sort: '-created_at' } },
  });
  if (error) throw refused(error);
  return data.deployments;
}

async function send(): Promise<Schemas['Receipt'] & { http: number }> {
  const document: Schemas['Architecture'] = {
    name: 'client',
    project_id: project,
    region: 'us-central1',
    dataflows: { flow: { resources: { topics: [{ name: 'client-topic' }] } } },
  };
  const { data, error, response } = await director.POST('/v1/commands/dataflow-setup', {
    params: { header: { 'idempotency-key': id } },
    body: { dataflow: 'flow', dry_run: true, architecture: { document } },
  });
  if (error) throw refused(error);
  return { ...data, http: response.status };
}

async function ended(): Promise<Schemas['Command']> {
  for (;;) {
    const { data, error } = await director.GET('/v1/commands/{id}', { params: { path: { id } } });
    if (error) throw refused(error);
    if (data.status !== 'accepted' && data.status !== 'running') return data;
    await setTimeout(50);
  }
}

async function missing(): Promise<Schemas['Problem'] | undefined> {
  const path = { id: 'nobody-sent-this' };
  const { error } = await director.GET('/v1/commands/{id}', { params: { path } });
  return error;
}

/** As a variable, a body may hold more than its type says: then it is the director that refuses. */
async function misspelt(): Promise<Schemas['Problem'] | undefined> {
  const body = { dataflow: 'flow', dryrun: true };
  const { error } = await director.POST('/v1/commands/teardown', { body });
  return error;
}

/** Made twice under one key, found once, removed: what is answered to each. */
async function hooked(): Promise<(number | boolean)[]> {
  const make = () =>
    director.POST('/v1/webhooks', {
      params: { header: { 'idempotency-key': \`hook-\${id}\` } },
      body: { url: 'https://hooks.example/client', events: ['deployment.failed'] },
    });
  const made = await make();
  if (made.error) throw refused(made.error);
  const again = await make();
  const { id: hook } = made.data;
  const params = { path: { id: hook } };
  const found = await director.GET('/v1/webhooks/{id}', { params });
  const stopped = await director.PATCH('/v1/webhooks/{id}', { params, body: { active: false } });
  const removed = await director.DELETE('/v1/webhooks/{id}', { params });
  return [
    made.response.status,
    'secret' in made.data,
    again.response.status,
    again.data?.id === hook && !('secret' in again.data),
    found.data?.active ?? false,
    stopped.data?.active ?? true,
    removed.response.status,
  ];
}

const before = await listed();
const sent = await send();
const again = await send();
const command = await ended();
const [deployment] = command.deployments;
const refusal = await misspelt();
console.log(
  JSON.stringify({
    before: before.length,
    sent: [sent.http, sent.duplicate],
    again: [again.http, again.duplicate],
    command: [command.type, command.status, command.dry_run],
    answer: command.answer?.type,
    plan: deployment?.plan?.changes.map(({ action, unit }) => [action, unit]),
    after: (await listed()).map(({ stack, status, dry_run }) => [stack, status, dry_run]),
    hooked: await hooked(),
    missing: (await missing())?.status,
    misspelt: [refusal?.status, refusal?.errors?.map((one) => one.in)],
  }),
);
`;

/** The head of a file of calls, of which nobody runs one. */
export const HEAD = `import createClient from 'openapi-fetch';
import type { components, operations, paths } from './director.ts';

const director = createClient<paths>({ baseUrl: '' });
type Setup = operations['sendDataflowSetup']['requestBody']['content']['application/json'];
declare const receipt: components['schemas']['Receipt'];
declare const command: components['schemas']['Command'];
declare const brief: components['schemas']['DeploymentBrief'];
declare const graph: components['schemas']['GraphDeployment'];
declare const webhook: components['schemas']['Webhook'];
`;

/** One line each; `why` says what is wrong with it. */
export interface Call {
  readonly why: string;
  readonly line: string;
}

const post = (type: string, body: string): string =>
  `await director.POST('/v1/commands/${type}', { body: ${body} });`;
const list = (query: string): string =>
  `await director.GET('/v1/deployments', { params: { query: ${query} } });`;

const graph = (more: string): string =>
  `await director.POST('/api/v1/deployments', { body: { id: 'a-v1', composer: 'a', ${more} } });`;
const blueprint = (format: string): string =>
  `await director.POST('/api/deployments', { body: { blueprintId: 'a', generationJobId: 'b', environment: 'dev', targetCloud: 'gcp', format: '${format}' } });`;

export const RIGHT: readonly string[] = [
  graph(`environment: 'dev', resources: [{ name: 'a' }, { name: 'b', dependsOn: ['a'] }]`),
  `await director.DELETE('/api/v1/deployments/{id}', { params: { path: { id: graph.id }, query: { mode: 'cancel' } } });`,
  blueprint('terraform'),
  `await director.PUT('/api/builds/-/settings/{repo}', { params: { path: { repo: 'shop' } }, body: { downstream_env: { dev: ['prod'] } } });`,
  `await director.POST('/dataflow/setup', { body: {} });`,
  `export const finished: boolean = graph.phase === 'done' && graph.resources.every(({ status }) => status === 'ready');`,
  `await director.GET('/v1/deployments');`,
  list(`{ status: 'failed', limit: 5 }`),
  post('teardown', `{ dataflow: 'orders' }`),
  post('rollback', `{ dataflow: 'orders', to_version: 3, reason: 'version 4 loses orders' }`),
  post('dataflow-setup', `{}`),
  `export const waits: boolean = brief.status === 'awaiting_approval' && brief.operation === 'rollback';`,
  `await director.POST('/v1/webhooks', { params: { header: { 'idempotency-key': 'board' } }, body: { url: 'https://hooks.example/a', events: ['*'] } });`,
  `await director.PATCH('/v1/webhooks/{id}', { params: { path: { id: webhook.id } }, body: { active: !webhook.active } });`,
  `await director.POST('/v1/webhooks/{id}/rotate', { params: { path: { id: webhook.id } } });`,
  `await director.DELETE('/v1/webhooks/{id}', { params: { path: { id: webhook.id } } });`,
  `export const told: 'accepted' | 'running' | 'succeeded' | 'failed' | 'rejected' = receipt.status;`,
];

export const WRONG: readonly Call[] = [
  { why: 'a graph without an environment', line: graph(`resources: [{ name: 'a' }]`) },
  { why: 'a resource without a name', line: graph(`environment: 'dev', resources: [{ config: {} }]`) },
  { why: 'no engine of a blueprint is called so', line: blueprint('cobol') },
  {
    why: 'no status of a build is called so',
    line: `await director.GET('/api/builds', { params: { query: { status: 'DONE' } } });`,
  },
  {
    why: 'a gate without a service',
    line: `await director.POST('/dataflow/verify', { body: { dataflow_name: 'orders' } });`,
  },
  { why: 'no phase is called so', line: `export const over: boolean = graph.phase === 'over';` },
  { why: 'no such route', line: `await director.GET('/v1/deploments');` },
  { why: 'a method that the route has not', line: `await director.POST('/v1/deployments');` },
  { why: 'a parameter of the path is missing', line: `await director.GET('/v1/commands/{id}');` },
  { why: 'no such status', line: list(`{ status: 'done' }`) },
  { why: 'no such parameter', line: list(`{ state: 'failed' }`) },
  { why: 'a number is a text', line: list(`{ limit: 'all' }`) },
  { why: 'the body is missing', line: `await director.POST('/v1/commands/teardown');` },
  { why: 'a required field is missing', line: post('teardown', `{ reason: 'not needed any more' }`) },
  { why: 'a field is of another type', line: post('dataflow-setup', `{ dry_run: 'yes' }`) },
  // The client's own type of a body lets more fields through than the document does.
  { why: 'a field is misspelt', line: `export const setup: Setup = { dataflow: 'orders', dryrun: true };` },
  { why: 'no such word', line: post('deploy', `{ dataflow: 'orders', priority: 'urgent' }`) },
  {
    why: 'the architecture lacks its project',
    line: post(
      'deploy',
      `{ architecture: { document: { name: 'a', region: 'us-central1', dataflows: {} } } }`,
    ),
  },
  { why: 'no status is called so', line: `export const done: boolean = brief.status === 'done';` },
  { why: 'no operation is called so', line: `export const up: boolean = brief.operation === 'up';` },
  { why: 'a webhook without a URL', line: `await director.POST('/v1/webhooks', { body: {} });` },
  { why: 'a secret that was shown before', line: `export const secret: string = webhook.secret;` },
  { why: 'the answer has no such field', line: `export const state = receipt.state;` },
  {
    why: 'what may be absent is taken for granted',
    line: `export const answer: string = command.answer.type;`,
  },
];
