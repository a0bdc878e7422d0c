/** What the tests of /v1 do again and again. */
import { PROBLEM_PREFIX } from '@service-director/shared/contract/rest/schemas.ts';
import { expect } from 'vitest';
import { documentOf, ephemeral } from './documents.ts';
import type { NativeAnswer, NativeDirector } from './native.ts';

/** What a refusal looks like. */
export function isProblem(status: number, slug: string, more: object = {}): object {
  const common = { title: expect.any(String), status, detail: expect.any(String) };
  return {
    status,
    type: expect.stringContaining('application/problem+json'),
    body: { type: PROBLEM_PREFIX + slug, ...common, ...more },
  };
}

/** Sets a dataflow up, as far as that goes without a director: it waits in the queue. */
export function setUp(
  director: NativeDirector,
  architecture: string,
  id: string,
  more: object = {},
): Promise<NativeAnswer> {
  const flow = ephemeral({ resources: { topics: [{ name: `${architecture}-topic` }] } });
  const document = documentOf(architecture, { flow });
  return director.post(
    '/v1/commands/dataflow-setup',
    { architecture: { document }, ...more },
    { 'idempotency-key': id, correlationid: `run-of-${architecture}` },
  );
}

/** The ids of each page, in order. */
export async function pages(
  director: NativeDirector,
  path: string,
  field: string,
  query: string,
): Promise<string[][]> {
  const all: string[][] = [];
  let next: string | undefined;
  do {
    const more: string = next === undefined ? '' : `&cursor=${next}`;
    const { status, body } = await director.get(`${path}?${query}${more}`);
    expect(status).toBe(200);
    all.push(body[field].map(({ id, stack }: { id?: string; stack?: string }) => id ?? stack));
    next = body.next;
  } while (next !== undefined);
  return all;
}
