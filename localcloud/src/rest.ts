/** REST: paths to methods as the protos declare them (https://google.aip.dev/127), JSON to messages and back. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type protobuf from 'protobufjs';
import type { LocalCloud } from './cloud.ts';
import { GoogleError, LegacyError, toGoogleError } from './error.ts';
import { bearer, gate, identify } from './gate.ts';
import { isObject, type Json, type JsonObject } from './json.ts';
import { type Match, type Router, router } from './router.ts';
import type { Answer, Call, Door, HttpRule, Method, Route, RouteRequest, Service } from './service.ts';
import { messageOf, readMessage, readQuery, type Shapes, writeMessage } from './shapes.ts';

/** What a route leads to: a method of a proto, or a path served by hand. */
export type Target =
  | {
      readonly type: 'method';
      readonly service: Service;
      readonly rpc: protobuf.Method;
      readonly method: Method;
      readonly body: string;
    }
  | { readonly type: 'route'; readonly service: Service; readonly route: Route };

/** Larger bodies of JSON calls are refused; uploads have routes of their own. Pub/Sub's limit is 10 MB. */
const MAX_BODY = 16 * 1024 * 1024;

/** Query parameters that every Google API takes. */
const COMMON_QUERY =
  /^(\$?alt|\$?prettyPrint|\$?fields|key|quotaUser|access_token|oauth_token|callback|\$\.xgafv|uploadType|upload_protocol|userProject|\$unique|\$ct|\$outputDefaults)$/;

/** All paths of all services. */
export function buildRoutes(services: readonly Service[], shapes: Shapes): Router<Target> {
  const routes = router<Target>();
  for (const service of services) {
    for (const [serviceName, methods] of Object.entries(service.methods ?? {})) {
      const declared = shapes.service(serviceName);
      for (const [name, method] of Object.entries(methods)) {
        const rpc = declared.methods[name];
        if (!rpc) throw new Error(`${serviceName} has no method ${name}`);
        rpc.resolve();
        for (const rule of [...rulesOf(rpc), ...(method.http ?? [])]) {
          const [verb, path] = verbOf(rule);
          routes.add(verb, path, { type: 'method', service, rpc, method, body: rule.body ?? '' });
        }
      }
    }
    for (const route of service.routes ?? [])
      routes.add(route.method, route.path, { type: 'route', service, route });
  }
  return routes;
}

/** The REST bindings that the proto declares. */
function rulesOf(rpc: protobuf.Method): HttpRule[] {
  const options: { '(google.api.http)'?: HttpRule & { additional_bindings?: HttpRule | HttpRule[] } }[] =
    rpc.parsedOptions ?? [];
  const rule = options.map((option) => option['(google.api.http)']).find((found) => found !== undefined);
  if (!rule) return [];
  return [rule, ...[rule.additional_bindings ?? []].flat()];
}

function verbOf(rule: HttpRule): [string, string] {
  for (const verb of ['get', 'put', 'post', 'delete', 'patch'] as const) {
    const path = rule[verb];
    if (path !== undefined) return [verb.toUpperCase(), path];
  }
  throw new Error(`No path in ${JSON.stringify(rule)}`);
}

/** Answers one HTTP/1 request. */
export async function serveHttp(
  cloud: LocalCloud,
  routes: Router<Target>,
  door: Door,
  raw: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => gone.abort(new Error('The caller hung up')));
  // An absolute-form target is a call through us as a proxy: gcloud reaches regional hosts so.
  const url = new URL(raw.url ?? '/', 'http://local.cloud');
  let style: Service['errorStyle'];
  let refuse: Route['refuse'];
  const origin = `http://127.0.0.1:${door.port}`;
  try {
    const found =
      routes.find(raw.method === 'HEAD' ? 'HEAD' : (raw.method ?? 'GET'), url.pathname) ??
      headAsGet(routes, raw, url);
    if (!found)
      throw new GoogleError('NOT_FOUND', `The requested URL ${url.pathname} was not found on this server.`);
    style = found.value.service.errorStyle;
    if (found.value.type === 'route') refuse = found.value.route.refuse;
    const call: Call = {
      door,
      identity: identify(
        cloud,
        door,
        bearer(raw.headers.authorization) ?? url.searchParams.get('access_token') ?? undefined,
      ),
      origin,
      signal: gone.signal,
    };
    if (found.value.type === 'route') {
      await serveRoute(cloud, found.value, found.params, url, raw, response, call);
    } else {
      const answer = await serveMethod(cloud, found.value, found.params, url, raw, call);
      sendJson(response, 200, answer);
    }
  } catch (error) {
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    if (refuse) refuse(toGoogleError(error), response, origin);
    else sendError(response, toGoogleError(error), style);
  }
}

function headAsGet(routes: Router<Target>, raw: IncomingMessage, url: URL): Match<Target> | undefined {
  return raw.method === 'HEAD' ? routes.find('GET', url.pathname) : undefined;
}

async function serveRoute(
  cloud: LocalCloud,
  { service, route }: Extract<Target, { type: 'route' }>,
  params: Readonly<Record<string, string>>,
  url: URL,
  raw: IncomingMessage,
  response: ServerResponse,
  call: Call,
): Promise<void> {
  const request: RouteRequest = { params, query: url.searchParams, raw };
  const access = route.access?.(request) ?? [];
  const mutating = route.method !== 'GET' && route.method !== 'HEAD';
  const answer = await gate(cloud, service, route.name, access, mutating, call, async () =>
    route.handle(request, response, call),
  );
  if (answer) await sendAnswer(response, answer);
}

async function sendAnswer(response: ServerResponse, { status, headers, body }: Answer): Promise<void> {
  for (const [name, value] of Object.entries(headers ?? {})) response.setHeader(name, value);
  response.statusCode = status;
  if (body instanceof Readable) await pipeline(body, response);
  else if (body) sendJson(response, status, body);
  else response.end();
}

async function serveMethod(
  cloud: LocalCloud,
  target: Extract<Target, { type: 'method' }>,
  params: Readonly<Record<string, string>>,
  url: URL,
  raw: IncomingMessage,
  call: Call,
): Promise<JsonObject> {
  const { service, rpc, method, body } = target;
  const requestType = messageOf(rpc.resolvedRequestType, rpc);
  const request = await readRequest(requestType, body, params, url, raw);
  const mutating =
    raw.method !== 'GET' && !/:(getIamPolicy|testIamPermissions|wait|pull)$/.test(url.pathname);
  const answer = await gate(cloud, service, rpc.name, method.access(request), mutating, call, async () =>
    method.handle(request, call),
  );
  return writeMessage(messageOf(rpc.resolvedResponseType, rpc), answer);
}

/** Puts path, query and body together into one request message. */
async function readRequest(
  type: protobuf.Type,
  bodyField: string,
  params: Readonly<Record<string, string>>,
  url: URL,
  raw: IncomingMessage,
): Promise<JsonObject> {
  const json = await readJson(raw);
  let request: JsonObject = {};
  if (bodyField === '*') request = readMessage(type, json ?? {});
  else if (bodyField !== '') {
    const field = type.fields[camel(bodyField)]?.resolve();
    if (!field) throw new Error(`${type.fullName} has no field ${bodyField}`);
    request[field.name] = readMessage(messageOf(field.resolvedType, field), json ?? {}, field.name);
  } else if (isObject(json) && Object.keys(json).length > 0) {
    const name = Object.keys(json)[0] ?? '';
    throw new GoogleError(
      'INVALID_ARGUMENT',
      `Invalid JSON payload received. Unknown name "${name}": Cannot find field.`,
    );
  }
  for (const name of new Set(url.searchParams.keys())) {
    if (!COMMON_QUERY.test(name)) readQuery(type, name, url.searchParams.getAll(name), request);
  }
  for (const [path, value] of Object.entries(params)) readQuery(type, path, [value], request);
  return request;
}

export async function readBody(raw: IncomingMessage, limit = MAX_BODY): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of raw) {
    size += chunk.length;
    if (size > limit)
      throw new GoogleError('INVALID_ARGUMENT', `Request payload size exceeds the limit: ${limit} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export async function readJson(raw: IncomingMessage): Promise<Json | undefined> {
  const body = await readBody(raw);
  if (body.length === 0) return undefined;
  try {
    return JSON.parse(body.toString('utf8')) as Json;
  } catch (error) {
    const reason = error instanceof Error ? error.message : '';
    throw new GoogleError('INVALID_ARGUMENT', `Invalid JSON payload received. ${reason}`);
  }
}

export function sendJson(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json; charset=UTF-8',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

function sendError(response: ServerResponse, error: GoogleError, style: Service['errorStyle']): void {
  const answer = style === 'storage' && !(error instanceof LegacyError) ? legacy(error) : error;
  const retry = error.details.find((detail) => detail['@type'].endsWith('RetryInfo'))?.retryDelay;
  if (typeof retry === 'string') response.setHeader('retry-after', retry.replace(/s$/, ''));
  sendJson(response, answer.http, answer.body());
}

function legacy(error: GoogleError): LegacyError {
  const reasons: Partial<Record<GoogleError['code'], string>> = {
    PERMISSION_DENIED: 'forbidden',
    UNAUTHENTICATED: 'authError',
    NOT_FOUND: 'notFound',
    RESOURCE_EXHAUSTED: 'rateLimitExceeded',
    INVALID_ARGUMENT: 'invalid',
    ALREADY_EXISTS: 'conflict',
    UNAVAILABLE: 'backendError',
    INTERNAL: 'backendError',
  };
  return new LegacyError(error.http, reasons[error.code] ?? 'badRequest', error.message, error.code);
}

function camel(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
