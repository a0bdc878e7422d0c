/** Whether an answer is one of those that the director's OpenAPI document tells of. */

import { type Operation, openApiDocument } from '@service-director/shared/contract/rest/openapi.ts';
import type { Route } from '@service-director/shared/contract/rest/route.ts';
import { ProblemDetails } from '@service-director/shared/contract/rest/schemas.ts';
import { ROUTES } from '@service-director/shared/contract/rest.ts';
import { expect } from 'vitest';
import { faultsIn } from './json-schema.ts';

type Schema = Route['answers'][number]['schema'];

export interface Answered {
  readonly method: string;
  /** As it was asked for. */
  readonly path: string;
  readonly status: number;
  /** Its media type, with or without parameters. */
  readonly type: string;
  /** Parsed, where it is JSON. */
  readonly body: unknown;
}

const document = openApiDocument(ROUTES, 'test');
const routes: readonly Route[] = Object.values(ROUTES);
/** Other spellings of the same. */
const ALIASES: Readonly<Record<string, string>> = { '/healthz': '/health', '/readyz': '/ready' };

/** Throws when the document tells of no such answer, or when it holds what no schema tells of. */
export function demandDocumented(answered: Answered): void {
  const { method, status, body } = answered;
  const [media = ''] = answered.type.split(';');
  const about = `${method} ${answered.path}: ${status} ${media}`;
  if (media === 'application/problem+json') demandExact(ProblemDetails, body, about);
  const route = routeOf(answered);
  if (!route) {
    // Of no API, or of the generator, which is another program; what is nowhere is told so.
    const isOurs = /^\/api(?!\/generate)(\/|$)/.test(answered.path);
    expect(!isOurs || status === 404 || status === 403, `${about}: the document has no such route`).toBe(
      true,
    );
    return;
  }
  const response = operationOf(route).responses[String(status)];
  expect(response, `${about}: the document has no such answer`).toBeDefined();
  const content = response?.content ?? {};
  if (body === '' && media === '') {
    expect(content, about).toEqual({});
    return;
  }
  expect(Object.keys(content), about).toContain(media);
  if (!media.includes('json') || media.includes('ndjson')) return;
  expect(faultsIn(body, content[media]?.schema ?? {}, document.components.schemas), about).toEqual([]);
  const schema = route.answers[status]?.schema ?? (media === 'application/json' ? route.refusal : undefined);
  if (schema) demandExact(schema, body, about);
}

/** A schema lets through what it does not know, and leaves it out of what it gives back: then that differs. */
function demandExact(schema: Schema, body: unknown, about: string): void {
  expect(schema.parse(body), about).toEqual(body);
}

function operationOf({ path, method }: Route): Operation {
  const operation = document.paths[path]?.[method];
  if (!operation) throw new Error(`The document has no ${method} ${path}`);
  return operation;
}

function routeOf({ method, path }: Answered): Route | undefined {
  const [plain = ''] = path.split('?');
  const asked = ALIASES[plain] ?? plain;
  const fitting = routes.filter(
    (route) =>
      (route.method === method.toLowerCase() || (method === 'HEAD' && route.method === 'get')) &&
      new RegExp(`^${route.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(asked),
  );
  // The fewer parameters a path has, the sooner it is meant.
  return fitting.toSorted((a, b) => parametersIn(a) - parametersIn(b))[0];
}

function parametersIn({ path }: Route): number {
  return path.split('{').length - 1;
}
