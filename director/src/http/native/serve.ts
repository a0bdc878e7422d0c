/** Serves a route of the table: reads the request by its schemas, and answers what it says that it answers. */
import type { Asked, Reply, Route } from '@service-director/shared/contract/rest/route.ts';
import { Nothing } from '@service-director/shared/contract/rest/route.ts';
import type { ProblemError } from '@service-director/shared/contract/rest/schemas.ts';
import { isDeeper, MOST_DEPTH } from '@service-director/shared/kit/json-depth.ts';
import { type Request, type RequestHandler, type Response, type Router, text } from 'express';
import type { z } from 'zod';
import { Problem } from '../problem.ts';
import type { Answer, Recent } from './recent.ts';
import { weakTagOf } from './tags.ts';

/** Where express looks for it: `/v1/deployments/:id`. */
export function expressPath({ path }: Pick<Route, 'path'>): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1');
}

/** As long as a command may be that comes over Pub/Sub. */
const LONGEST_BODY = '9mb';

const readText = text({ type: () => true, limit: LONGEST_BODY });

/** `handle` may throw Problems. With `recent` its answers must depend on nothing but the state, the question and the caller, and have no effects. */
export function serve<R extends Route>(
  router: Router,
  route: R,
  handle: (asked: Asked<R>, request: Request) => Promise<Reply<R>>,
  recent?: Recent,
): void {
  const make = async (request: Request) => answerOf(await handle(read(route, request), request));
  const answer: RequestHandler = async (request, response) => {
    send(request, response, await (recent ? recent.answer(request, () => make(request)) : make(request)));
  };
  const path = expressPath(route);
  if (route.method === 'get') router.get(path, answer);
  else router.post(path, readText, answer);
}

/** 200. */
export function ok<Body>(body: Body) {
  return { status: 200, body } as const;
}

function answerOf(reply: {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}): Answer {
  const { status, body, headers = {} } = reply;
  if (body === undefined) return { status, headers, bytes: undefined };
  const bytes = Buffer.from(JSON.stringify(body));
  const whole = { 'content-type': 'application/json; charset=utf-8', 'content-length': String(bytes.length) };
  const etag = status === 200 ? { etag: weakTagOf(bytes) } : {};
  return { status, headers: { ...whole, ...etag, ...headers }, bytes };
}

/** Not by express, which would make its tag and its bytes anew for an answer that is given again. */
function send(request: Request, response: Response, { status, headers, bytes }: Answer): void {
  response.status(status);
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  if (bytes === undefined) response.end();
  else if (request.fresh) endUnchanged(response);
  else response.end(bytes);
}

/** 304: the caller has it already. */
function endUnchanged(response: Response): void {
  response.removeHeader('content-length');
  response.removeHeader('content-type');
  response.status(304).end();
}

/** Throws a Problem that names all that is wrong: 404 for a path of nothing, 400 for the rest. */
export function read<R extends Route>(route: R, request: Request): Asked<R> {
  const raw = route.body === Nothing ? undefined : bodyOf(request);
  const errors: ProblemError[] = [];
  const params = parsed<R['params']>(route.params, request.params, 'path', errors);
  if (!params) throw new Problem(404, 'Not found', `There is no ${request.path}`, undefined, { errors });
  const query = parsed<R['query']>(route.query, request.query, 'query', errors);
  const headers = parsed<R['headers']>(route.headers, request.headers, 'header', errors);
  const body = parsed<R['body']>(route.body, raw, 'body', errors);
  if (!query || !headers || !body) throw invalid(errors);
  return { params: params.data, query: query.data, headers: headers.data, body: body.data, raw };
}

/** A request that can be read, and means nothing. */
export function invalid(errors: readonly ProblemError[]): Problem {
  const sentences = errors.map(({ in: place, pointer, detail }) =>
    place === 'body' && pointer === ''
      ? detail
      : `${pointer === '' ? place : `${place} ${pointer}`}: ${detail}`,
  );
  return new Problem(400, 'The request is wrong', sentences.join('; '), 'see /docs', {
    slug: 'invalid',
    errors,
  });
}

/** Undefined for what is wrong: then that is among the errors. */
function parsed<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  place: ProblemError['in'],
  errors: ProblemError[],
): { readonly data: z.output<Schema> } | undefined {
  const result = schema.safeParse(value);
  if (result.success) return result;
  errors.push(...errorsOf(result.error, place));
  return undefined;
}

/** Each with its place; of fields that are not known each by itself. */
export function errorsOf({ issues }: z.ZodError, place: ProblemError['in']): ProblemError[] {
  return issues.flatMap((issue): ProblemError[] => {
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => ({
        in: place,
        pointer: pointerOf([...issue.path, key]),
        detail: 'there is no such field',
      }));
    return [{ in: place, pointer: pointerOf(issue.path), detail: issue.message }];
  });
}

/** RFC 6901. */
function pointerOf(path: readonly PropertyKey[]): string {
  return path.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/** Undefined for none. */
function bodyOf(request: Request): unknown {
  const { body } = request;
  if (typeof body !== 'string' || body === '') return undefined;
  // A page in a browser may send anything else without asking.
  if (!request.is(['json', '+json']))
    throw new Problem(415, 'Not JSON', 'A body is JSON.', 'send it with Content-Type: application/json');
  if (isDeeper(body, MOST_DEPTH))
    throw invalid([{ in: 'body', pointer: '', detail: `it is nested deeper than ${MOST_DEPTH} levels` }]);
  return jsonOf(body);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const because = error instanceof Error ? error.message : String(error);
    throw invalid([{ in: 'body', pointer: '', detail: `it is not JSON: ${because}` }]);
  }
}
