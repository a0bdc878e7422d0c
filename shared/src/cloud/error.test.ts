import { expect, test } from 'vitest';
import { CloudError, found } from './error.ts';

/** As gaxios throws it. */
function rest(status: number, body: object, headers: Record<string, string> = {}): Error {
  return Object.assign(new Error('Request failed'), {
    code: String(status),
    response: { status, data: { error: body }, headers: new Headers(headers) },
  });
}

/** As Cloud Storage's client throws it. */
function storage(code: number, message: string, reason: string): Error {
  const errors = [{ message, domain: 'global', reason }];
  const response = { statusCode: code, body: { error: { code, message, errors } } };
  return Object.assign(new Error(message), { code, errors, response });
}

test.each([
  [storage(412, 'conditions', 'conditionNotMet'), 'conflict'],
  [storage(404, 'No such object', 'notFound'), 'not-found'],
  [storage(503, 'later', 'backendError'), 'unknown-outcome'],
  [rest(404, { code: 404, status: 'NOT_FOUND', message: 'gone' }), 'not-found'],
  [rest(409, { code: 409, status: 'ALREADY_EXISTS', message: 'there' }), 'already-exists'],
  [rest(409, { code: 409, status: 'ABORTED', message: 'There were concurrent policy changes.' }), 'conflict'],
  [
    rest(409, {
      code: 409,
      message: 'The bucket you tried to delete is not empty.',
      errors: [{ reason: 'conflict' }],
    }),
    'precondition',
  ],
  [rest(412, { code: 412, message: 'conditions', errors: [{ reason: 'conditionNotMet' }] }), 'conflict'],
  [
    rest(400, { code: 400, status: 'INVALID_ARGUMENT', message: 'Service account a@b does not exist.' }),
    'propagating',
  ],
  [rest(400, { code: 400, status: 'INVALID_ARGUMENT', message: 'bad' }), 'invalid'],
  [rest(429, { code: 429, status: 'RESOURCE_EXHAUSTED', message: 'slow down' }), 'rate-limited'],
  [rest(503, { code: 503, status: 'UNAVAILABLE', message: 'later' }), 'unknown-outcome'],
  [rest(502, {}), 'unknown-outcome'],
  [Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' }), 'unknown-outcome'],
  [new Error('Could not load the default credentials. Browse to …'), 'unauthenticated'],
  [Object.assign(new Error('7 PERMISSION_DENIED: no'), { code: 7, details: 'no' }), 'denied'],
  [
    Object.assign(new Error('5 NOT_FOUND: Topic not found'), { code: 5, details: 'Topic not found' }),
    'not-found',
  ],
  [{ code: 9, message: 'The container failed to start' }, 'precondition'],
  [
    new TypeError('fetch failed', { cause: Object.assign(new Error('x'), { code: 'ECONNREFUSED' }) }),
    'unknown-outcome',
  ],
  [new TypeError('ours'), 'internal'],
])('%s is %s', (error, reason) => {
  expect(CloudError.from(error).reason).toBe(reason);
});

test('what Google says beside the code is kept', () => {
  const disabled = CloudError.from(
    rest(403, {
      status: 'PERMISSION_DENIED',
      message: 'Cloud Run API has not been used in project 1 before or it is disabled.',
      details: [
        {
          '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
          reason: 'SERVICE_DISABLED',
          metadata: { service: 'run.googleapis.com' },
        },
      ],
    }),
  );
  expect(disabled).toMatchObject({ reason: 'api-disabled', api: 'run.googleapis.com' });
  const denied = CloudError.from(
    rest(403, {
      status: 'PERMISSION_DENIED',
      message: "Permission 'pubsub.topics.get' denied on resource 'x'",
    }),
  );
  expect(denied).toMatchObject({ reason: 'denied', permission: 'pubsub.topics.get' });
  expect(
    CloudError.from(rest(429, { status: 'RESOURCE_EXHAUSTED' }, { 'retry-after': '7' })).retryAfterMs,
  ).toBe(7_000);
  const grpc = CloudError.from(Object.assign(new Error('5 NOT_FOUND: Topic not found'), { code: 5 }));
  expect(grpc.message).toBe('Topic not found');
});

test('found gives undefined for what is not there, and throws the rest', async () => {
  expect(await found(Promise.resolve(3))).toBe(3);
  expect(await found(Promise.reject(rest(404, { status: 'NOT_FOUND', message: 'x' })))).toBeUndefined();
  await expect(
    found(Promise.reject(rest(403, { status: 'PERMISSION_DENIED', message: 'x' }))),
  ).rejects.toMatchObject({ reason: 'denied' });
});
