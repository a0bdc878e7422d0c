/** One method of the JSON API, and the paths where clients look for it. */
import type { Answer, Call, Route, RouteRequest } from '../../service.ts';

export interface Endpoint {
  /** What the fault rules call it: `objects.insert`. */
  readonly name: string;
  readonly method: Route['method'];
  /** Below the prefix: `/b/{bucket}/o/{object}`. */
  readonly path: string;
  readonly under?: Prefixes;
  answer(request: RouteRequest, call: Call): Answer | Promise<Answer>;
}

type Prefixes = 'metadata' | 'media' | 'upload';

/** The shorter ones are for clients that are pointed here by `STORAGE_EMULATOR_HOST`. */
const PREFIXES: Readonly<Record<Prefixes, readonly string[]>> = {
  metadata: ['/storage/v1', ''],
  media: ['/storage/v1', '', '/download/storage/v1', '/download'],
  upload: ['/upload/storage/v1', '/upload', '/resumable/upload/storage/v1', '/resumable/upload'],
};

export function routesOf(endpoints: readonly Endpoint[]): Route[] {
  return endpoints.flatMap(({ name, method, path, under = 'metadata', answer }) =>
    PREFIXES[under].map(
      (prefix): Route => ({
        name,
        method,
        path: `${prefix}${path}`,
        access: (request) => ({ permission: undefined, resource: resourceOf(request) }),
        handle: (request, _response, call) => answered(() => answer(request, call), request),
      }),
    ),
  );
}

/** What was not read of the body is let pass: otherwise the caller would wait for us, and we for the caller. */
async function answered(answer: () => Answer | Promise<Answer>, { raw }: RouteRequest): Promise<Answer> {
  try {
    return await answer();
  } finally {
    raw.resume();
  }
}

/** What the call is about, for the fault rules and the record of calls. IAM is asked by the methods, which know 404 from 403. */
function resourceOf({ params, query }: RouteRequest): string {
  const { bucket, object, project } = params;
  if (bucket === undefined) return `projects/${project ?? query.get('project') ?? ''}`;
  const name = object ?? query.get('name');
  return name === undefined || name === null ? `buckets/${bucket}` : `buckets/${bucket}/objects/${name}`;
}

export function ok(body: Answer['body']): Answer {
  return body === undefined ? { status: 204 } : { status: 200, body };
}
