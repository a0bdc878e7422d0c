/** The front door of a service: who may come in, to which revision, to which instance, and for how long. */
import { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError } from '../../error.ts';
import type { JsonObject } from '../../json.ts';
import type { Fleet, Place } from './fleet.ts';
import { admit } from './invoker.ts';
import type { Journal } from './journal.ts';
import type { Handlers } from './listener.ts';
import { type Forwarded, forward, forwardUpgrade } from './proxy.ts';
import type { ServiceResource } from './resources.ts';
import { type Trace, traceOf } from './trace.ts';

/** A revision as the front door sees it. */
export interface Backend {
  readonly fleet: Fleet;
  readonly journal: Journal;
  /** Of a request, in milliseconds. */
  readonly timeout: number;
}

export interface FrontDoorOptions {
  readonly cloud: LocalCloud;
  readonly project: string;
  /** As it is now; undefined once it is deleted. */
  service(): ServiceResource | undefined;
  /** The revision for the next request; undefined when none serves. */
  draw(service: ServiceResource): Backend | undefined;
}

/** One request, for its log entry. */
interface Visit {
  readonly request: IncomingMessage;
  /** Milliseconds since 1970. */
  readonly started: number;
  readonly trace: Trace;
  status: number;
  instanceId?: string;
  /** A sentence on why it was refused. */
  because?: string;
}

/** Brings a request to its instance and resolves with the status of the answer. */
type Carry = (forwarded: Forwarded) => Promise<number>;

export function frontDoor(options: FrontDoorOptions): Handlers {
  const { cloud } = options;

  /** Answers the request through `carry`, and writes it down. Rejects with a Refusal when it was not carried to its end. */
  async function receive(request: IncomingMessage, gone: AbortSignal, carry: Carry): Promise<void> {
    const visit: Visit = { request, started: cloud.clock.now(), trace: traceOf(request.headers), status: 0 };
    const service = options.service();
    if (!service || service.defaultUriDisabled === true || service.ingress === 'INGRESS_TRAFFIC_NONE')
      throw new Refusal(404, 'The service has no URL.');
    const backend = options.draw(service);
    try {
      const headers = letIn(service, request.headers);
      if (!backend) throw new Refusal(404, 'No revision of the service serves traffic.');
      visit.status = await run(
        backend,
        visit,
        { ...headers, ...visit.trace.headers, ...forwardedOf(request) },
        gone,
        carry,
      );
    } catch (error) {
      const refusal = asRefusal(error);
      visit.status = refusal.status;
      visit.because = refusal.message;
      throw refusal;
    } finally {
      backend?.journal.write('requests', entryOf(visit, options.project, cloud.clock.now()));
    }
  }

  function letIn(service: ServiceResource, headers: IncomingHttpHeaders): IncomingHttpHeaders {
    const { name = '', urls = [], customAudiences = [], trafficStatuses = [] } = service;
    const tagUrls = trafficStatuses.flatMap(({ uri }) => uri ?? []);
    const open = service.invokerIamDisabled === true;
    const admission = admit(cloud, name, [...urls, ...tagUrls, ...customAudiences], open, headers);
    if (admission.admitted) return admission.headers;
    throw new Refusal(admission.status, admission.because);
  }

  async function run(
    { fleet, timeout }: Backend,
    visit: Visit,
    headers: IncomingHttpHeaders,
    gone: AbortSignal,
    carry: Carry,
  ): Promise<number> {
    const late = new AbortController();
    const cancel = cloud.clock.after(timeout, () => late.abort(new Refusal(504, TOO_LONG)));
    const signal = AbortSignal.any([gone, late.signal]);
    let place: Place | undefined;
    try {
      place = await fleet.acquire(signal);
      visit.instanceId = place.instanceId;
      return await carry({ port: place.port, headers, signal });
    } catch (error) {
      if (gone.aborted) throw new Refusal(499, 'The caller hung up.');
      throw late.signal.aborted ? late.signal.reason : error;
    } finally {
      cancel();
      place?.release();
    }
  }

  return {
    request(request, response) {
      const gone = new AbortController();
      response.on('close', () => {
        if (!response.writableFinished) gone.abort(new Error('The caller hung up.'));
      });
      receive(request, gone.signal, (forwarded) => forward(request, response, forwarded)).catch(
        (error: unknown) => refuse(request, response, asRefusal(error)),
      );
    },
    upgrade(request, socket, head) {
      const gone = new AbortController();
      socket.on('close', () => gone.abort(new Error('The caller hung up.')));
      receive(request, gone.signal, (forwarded) => forwardUpgrade(request, socket, head, forwarded)).catch(
        (error: unknown) => {
          const { status } = asRefusal(error);
          socket.end(
            `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`,
          );
        },
      );
    },
  };
}

const TOO_LONG = 'The request has been terminated because it has reached the maximum request timeout.';

class Refusal extends Error {
  readonly status: number;

  constructor(status: number, because: string) {
    super(because);
    this.status = status;
  }
}

function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof GoogleError && error.code === 'RESOURCE_EXHAUSTED') {
    return new Refusal(429, 'The request was aborted because there was no available instance.');
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new Refusal(503, `The connection to the instance had an error: ${reason}`);
}

/** What the front door adds about the way a request came. */
function forwardedOf(request: IncomingMessage): IncomingHttpHeaders {
  const before = request.headers['x-forwarded-for'];
  const address = request.socket.remoteAddress ?? '127.0.0.1';
  return {
    'x-forwarded-for': before === undefined ? address : `${String(before)},${address}`,
    'x-forwarded-proto': 'http',
  };
}

/** Answers with a page, as Google's front end does. */
function refuse(request: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { status } = refusal;
  const title = STATUS_CODES[status] ?? 'Error';
  const url = (request.url ?? '/').replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
  const sentence = {
    401: `Your client does not have permission to the requested URL <code>${url}</code>.`,
    403: `Your client does not have permission to get URL <code>${url}</code> from this server.`,
    404: `The requested URL <code>${url}</code> was not found on this server.`,
    429: 'Rate exceeded.',
    503: 'The service you requested is not available yet.',
    504: 'The upstream request timed out.',
  }[status];
  const page = `<html><head><title>${status} ${title}</title></head>\n<body><h1>Error: ${title}</h1>\n<h2>${sentence}</h2></body></html>\n`;
  response.writeHead(status, {
    'content-type': 'text/html; charset=UTF-8',
    'content-length': Buffer.byteLength(page),
    // What the caller still sends is not read.
    connection: 'close',
    ...(status === 401
      ? {
          'www-authenticate':
            'Bearer error="invalid_token" error_description="The access token could not be verified"',
        }
      : {}),
  });
  response.end(page);
}

function entryOf(visit: Visit, project: string, now: number): JsonObject {
  const { request, status, started, trace, instanceId, because } = visit;
  const { host = '', 'user-agent': userAgent, referer } = request.headers;
  return {
    severity: status >= 500 ? 'ERROR' : status >= 400 ? 'WARNING' : 'INFO',
    trace: `projects/${project}/traces/${trace.id}`,
    ...(instanceId === undefined ? {} : { labels: { instanceId } }),
    ...(because === undefined ? {} : { textPayload: because }),
    httpRequest: {
      requestMethod: request.method ?? 'GET',
      requestUrl: `http://${host}${request.url}`,
      status,
      remoteIp: request.socket.remoteAddress ?? '127.0.0.1',
      latency: `${(now - started) / 1000}s`,
      protocol: `HTTP/${request.httpVersion}`,
      ...(userAgent === undefined ? {} : { userAgent }),
      ...(referer === undefined ? {} : { referer }),
    },
  };
}
