/** The document that the director gives of itself: good OpenAPI 3.1, true in its examples, and readable without anything from elsewhere. */
import { createHash } from 'node:crypto';
import { OPERATIONS } from '@service-director/shared/contract/command.ts';
import type { OpenApiDocument } from '@service-director/shared/contract/rest/openapi.ts';
import { Nothing, type Route } from '@service-director/shared/contract/rest/route.ts';
import { ROUTES } from '@service-director/shared/contract/rest.ts';
import { DEPLOYMENT_STATUSES } from '@service-director/shared/contract/status.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { demandDocumented } from './support/contract.ts';
import { faultsIn } from './support/json-schema.ts';
import { type NativeDirector, openNative } from './support/native.ts';

let director: NativeDirector;
let document: OpenApiDocument;

beforeAll(async () => {
  director = await openNative();
  document = (await director.get('/openapi.json')).body;
});
afterAll(() => director.close());

const routes: readonly (readonly [string, Route])[] = Object.entries(ROUTES);

/** Every object in it, with its place. */
function* objectsIn(value: unknown, at = '#'): Generator<[string, Record<string, unknown>]> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield [at, { ...value }];
  for (const [name, inner] of Object.entries(value)) yield* objectsIn(inner, `${at}/${name}`);
}

describe('the document', () => {
  test('says what it is', () => {
    expect(document).toMatchObject({
      openapi: '3.1.0',
      info: { title: 'Service Director', version: '1.2.3' },
      servers: [{ url: '/' }],
    });
  });

  test('tells of every route once, under one name', () => {
    const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
    const names = operations.map(({ operationId }) => operationId);
    expect(names.toSorted()).toEqual(Object.keys(ROUTES).sort());
    const tags = document.tags.map(({ name }) => name);
    for (const { tags: mine, operationId } of operations)
      expect(tags, operationId).toEqual(expect.arrayContaining([...mine]));
  });

  test('no two paths could mean the same', () => {
    const shapes = Object.keys(document.paths).map((path) => path.replaceAll(/\{\w+\}/g, '{}'));
    expect(new Set(shapes).size).toBe(shapes.length);
  });

  test('parameters of paths are those in the path, and each parameter is there once', () => {
    for (const [path, methods] of Object.entries(document.paths)) {
      expect(path).toMatch(/^\//);
      for (const { operationId, parameters } of Object.values(methods)) {
        const inPath = parameters.filter((one) => one.in === 'path');
        expect(
          inPath.map(({ name }) => `{${name}}`),
          operationId,
        ).toEqual(path.match(/\{\w+\}/g) ?? []);
        expect(
          inPath.every(({ required }) => required),
          operationId,
        ).toBe(true);
        const keys = parameters.map(({ in: place, name }) => `${place} ${name}`);
        expect(new Set(keys).size, operationId).toBe(keys.length);
        // These are not parameters: OpenAPI would not read them.
        const headers = parameters.filter((one) => one.in === 'header').map(({ name }) => name);
        for (const name of ['accept', 'content-type', 'authorization']) expect(headers).not.toContain(name);
      }
    }
  });

  test('every answer has a description, and every route one that is good', () => {
    for (const methods of Object.values(document.paths))
      for (const { operationId, responses } of Object.values(methods)) {
        expect(
          Object.keys(responses).some((status) => /^2\d\d$/.test(status)),
          operationId,
        ).toBe(true);
        for (const [status, { description }] of Object.entries(responses)) {
          expect(status, operationId).toMatch(/^[1-5]\d\d$/);
          expect(description, operationId).not.toBe('');
        }
      }
  });

  test('whatever it refers to is there, and whatever is there is referred to', () => {
    const known = Object.keys(document.components.schemas);
    const used = new Set<string>();
    for (const [at, { $ref }] of objectsIn(document)) {
      if (typeof $ref !== 'string') continue;
      expect($ref, at).toMatch(/^#\/components\/schemas\/\w+$/);
      used.add($ref.split('/').at(-1) ?? '');
    }
    expect([...used].filter((name) => !known.includes(name))).toEqual([]);
    expect(known.filter((name) => !used.has(name))).toEqual([]);
    for (const name of known) expect(name).toMatch(/^[\w.-]+$/);
  });

  test('says of every status and operation which there are', () => {
    const free = [
      // What a lock is taken for by hand is whatever whoever takes it says.
      '#/Lock/properties/operation',
      // So here.
      '#/BlueprintState/properties/lockInfo/properties/operation',
      // Of HTTP: numbers.
      '#/Problem/properties/status',
    ];
    const closed = new Map<string, unknown>();
    for (const [at, schema] of objectsIn(document.components.schemas))
      if (/\/properties\/(status|operation)$/.test(at) && !at.startsWith('#/Architecture'))
        closed.set(at, schema.enum ?? schema.const);
    for (const at of free) expect(closed.has(at) && closed.get(at) === undefined, at).toBe(true);
    const open = [...closed].flatMap(([at, values]) => (values === undefined ? [at] : []));
    expect(open.filter((at) => !free.includes(at) && !at.startsWith('#/Delivery/'))).toEqual([]);
    for (const name of ['Deployment', 'DeploymentBrief', 'DeploymentReport', 'LogPage'])
      expect(closed.get(`#/${name}/properties/status`), name).toEqual(DEPLOYMENT_STATUSES);
    for (const name of ['Deployment', 'DeploymentBrief', 'DeploymentReport'])
      expect(closed.get(`#/${name}/properties/operation`), name).toEqual(OPERATIONS);
    expect(closed.get('#/Version/properties/operation')).toEqual([...OPERATIONS, 'unknown']);
  });

  test('its schemas are of the draft that OpenAPI 3.1 has', () => {
    const old = ['$schema', '$id', '$defs', 'definitions', 'nullable'];
    for (const [at, object] of objectsIn(document.components.schemas)) {
      // A field may be called so.
      if (/\/properties$/.test(at)) continue;
      for (const key of old) expect(object, at).not.toHaveProperty([key]);
      if (typeof object.exclusiveMinimum === 'boolean') throw new Error(`${at} is of an older draft`);
    }
  });

  test('its examples are good, by it and by what validates', () => {
    const examples = routes.flatMap(([name, { path, method, body, example }]) => {
      if (body === Nothing || example === undefined) return [];
      expect(body.safeParse(example).error, name).toBeUndefined();
      const content = document.paths[path]?.[method]?.requestBody?.content['application/json'];
      expect(content?.example, name).toEqual(example);
      expect(faultsIn(example, content?.schema ?? false, document.components.schemas), name).toEqual([]);
      return [name];
    });
    expect(examples).toHaveLength(
      routes.filter(
        ([name, { method, body }]) => method !== 'get' && body !== Nothing && name !== 'oldSendCommand',
      ).length,
    );
  });
});

describe('what checks answers against it', () => {
  const answered = { method: 'GET', path: '/v1/stacks', status: 200, type: 'application/json' };

  test('lets through what is true', () => {
    demandDocumented({ ...answered, body: { stacks: [] } });
    demandDocumented({ ...answered, path: '/healthz', body: { status: 'ok' } });
  });

  test('refuses what is missing, what is too much, and what nobody told of', () => {
    const brief = { stack: 'a/b', scope: 'a', dataflow: 'b', version: 1, units: 0, locked: false };
    demandDocumented({ ...answered, body: { stacks: [brief] } });
    const { version: _, ...less } = brief;
    for (const stack of [less, { ...brief, secret: 'x' }, { ...brief, version: '1' }, 'x'])
      expect(() => demandDocumented({ ...answered, body: { stacks: [stack] } })).toThrow();
    expect(() => demandDocumented({ ...answered, status: 201, body: { stacks: [] } })).toThrow(
      /no such answer/,
    );
    expect(() => demandDocumented({ ...answered, type: 'text/html', body: '' })).toThrow();
    const problem = { type: 'x', title: 'x', status: 404, detail: 'x' };
    const refusal = { ...answered, path: '/elsewhere', status: 404, type: 'application/problem+json' };
    demandDocumented({ ...refusal, body: problem });
    expect(() => demandDocumented({ ...refusal, body: { ...problem, stack: 'at x.ts:1' } })).toThrow();
  });
});

describe('the page', () => {
  test('shows every route and schema, and takes nothing from elsewhere', async () => {
    const { type, body: page, headers } = await director.get('/docs');
    expect(type).toContain('text/html');
    for (const [name, { path }] of routes) {
      expect(page).toContain(`<section id="${name}"`);
      expect(page).toContain(`<code>${path}</code>`);
    }
    for (const name of Object.keys(document.components.schemas))
      expect(page).toContain(`id="schema-${name}"`);
    const policy = String(headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
    const [, style = ''] = /<style>([\s\S]*?)<\/style>/.exec(page) ?? [];
    expect(policy).toContain(`'sha256-${createHash('sha256').update(style).digest('base64')}'`);
    expect(page).not.toMatch(/<script|<link|<img|<iframe|\sstyle=|\son\w+=|\ssrc=|@import|url\(/i);
    const links = [...page.matchAll(/href="([^"]*)"/g)].map(([, to = '']) => to);
    for (const to of links)
      if (to !== '/openapi.json') expect(page, to).toContain(`id="${to.replace('#', '')}"`);
  });
});
