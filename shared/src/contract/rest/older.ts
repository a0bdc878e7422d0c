/** The routes beside /v1: those of the director itself, and the first ones, which go on working. */
import { z } from 'zod';
import { AuditTrail, DeploymentDetail, DeploymentPage, History, StackState } from '../state.ts';
import { route } from './route.ts';
import {
  CommandDetail,
  CommandHeaders,
  CommandList,
  PathId,
  Receipt,
  StackBrief,
  StackPath,
} from './schemas.ts';

const Alive = z.object({ status: z.literal('ok') });
export const Readiness = z.object({
  ready: z.boolean(),
  /** What keeps it from working, by part. */
  problems: z.record(z.string(), z.string()),
});
export const Version = z.object({
  name: z.string(),
  version: z.string(),
  revision: z.string(),
  /** The version of Node.js. */
  node: z.string(),
});
/** A document of OpenAPI 3.1. */
export const OpenApi = z.looseObject({ openapi: z.string() });
export const Page = z.string();

const own = { method: 'get', tag: 'director' } as const;
const text = z.string().optional();
const limit = z.string().optional().describe('A whole number.');

export const OWN_ROUTES = {
  getHealth: route({
    ...own,
    path: '/health',
    open: true,
    summary: 'Whether it is alive; also at /healthz',
    answers: { 200: { description: 'It is.', schema: Alive } },
  }),
  getReadiness: route({
    ...own,
    path: '/ready',
    open: true,
    summary: 'Whether it takes commands; also at /readyz',
    answers: {
      200: { description: 'It does.', schema: Readiness },
      503: { description: 'It does not, and why.', schema: Readiness },
    },
  }),
  getVersion: route({
    ...own,
    path: '/version',
    open: true,
    summary: 'What it is',
    answers: { 200: { description: 'Its version.', schema: Version } },
  }),
  getMetrics: route({
    ...own,
    path: '/metrics',
    summary: 'What it counts, for Prometheus',
    description: 'Takes the role viewer in every environment, because it tells of all of them at once.',
    answers: { 200: { description: "Prometheus' text form, 0.0.4.", schema: Page, also: ['text/plain'] } },
  }),
  getOpenApi: route({
    ...own,
    path: '/openapi.json',
    summary: 'This document',
    answers: { 200: { description: 'OpenAPI 3.1.', schema: OpenApi } },
  }),
  getDocs: route({
    ...own,
    path: '/docs',
    summary: 'This document as a page',
    answers: { 200: { description: 'HTML.', schema: Page, also: ['text/html'] } },
  }),
} as const;

const old = { method: 'get', deprecated: true, tag: 'director' } as const;
const OldReceipt = Receipt.pick({ id: true, status: true, duplicate: true });

/** Without a prefix: what they answer is what /v1 answers, they take what they do not know, and their problems have no type. */
export const OLDER_ROUTES = {
  oldSendCommand: route({
    ...old,
    method: 'post',
    path: '/commands/{id}',
    summary: 'Send a command',
    // Two names at one place of a path would be two paths that mean the same.
    params: z.strictObject({ id: z.string().describe('The type of the command.') }),
    headers: CommandHeaders,
    body: z.unknown(),
    answers: {
      202: { description: 'It is in the ledger.', schema: OldReceipt },
      200: { description: 'It came before.', schema: OldReceipt },
    },
    problems: [400, 404, 413],
  }),
  oldListCommands: route({
    ...old,
    path: '/commands',
    summary: 'The commands that came in',
    query: z.object({ correlationid: text, after: text }),
    answers: { 200: { description: 'A page of them.', schema: CommandList } },
    problems: [400],
  }),
  oldGetCommand: route({
    ...old,
    path: '/commands/{id}',
    summary: 'A command, and what became of it',
    params: z.strictObject({ id: PathId }),
    answers: { 200: { description: 'All that is known of it.', schema: CommandDetail } },
    problems: [400, 404],
  }),
  oldListDeployments: route({
    ...old,
    path: '/deployments',
    summary: 'The deployments that there are, newest first',
    query: z.object({ stack: text, status: text, limit, after: text }),
    answers: { 200: { description: 'A page of them.', schema: DeploymentPage } },
    problems: [400],
  }),
  oldGetDeployment: route({
    ...old,
    path: '/deployments/{id}',
    summary: 'A deployment',
    params: z.strictObject({ id: PathId }),
    answers: { 200: { description: 'All that is known of it.', schema: DeploymentDetail } },
    problems: [400, 404],
  }),
  oldListStacks: route({
    ...old,
    path: '/stacks',
    summary: 'The stacks that there are',
    answers: { 200: { description: 'All of them.', schema: z.object({ stacks: z.array(StackBrief) }) } },
  }),
  oldGetStack: route({
    ...old,
    path: '/stacks/{scope}/{dataflow}',
    summary: 'The state of a stack',
    params: StackPath,
    answers: { 200: { description: 'The state.', schema: StackState } },
    problems: [400, 404],
  }),
  oldGetStackHistory: route({
    ...old,
    path: '/stacks/{scope}/{dataflow}/history',
    summary: 'Its versions, newest first',
    params: StackPath,
    query: z.object({ limit }),
    answers: { 200: { description: 'The newest versions.', schema: History } },
    problems: [400, 404],
  }),
  oldGetStackAudit: route({
    ...old,
    path: '/stacks/{scope}/{dataflow}/audit',
    summary: 'Its audit trail',
    params: StackPath,
    query: z.object({ limit }),
    answers: { 200: { description: 'The newest rows, oldest first.', schema: AuditTrail } },
    problems: [400, 404],
  }),
} as const;
