/** Prints a table of routes as a document of OpenAPI 3.1. */
import { z } from 'zod';
import { Architecture } from '../../model/architecture.ts';
import { jsonSchemaOf } from '../../model/section.ts';
import { OPERATIONS } from '../command.ts';
import { DeploymentReport, DirectorEvent } from '../event.ts';
import { DeploymentBrief, VersionView } from '../state.ts';
import { DEPLOYMENT_STATUSES } from '../status.ts';
import { DeliveryView, WEBHOOK_EVENTS } from '../webhook.ts';
import { NAMED } from './named.ts';
import { Nothing, type Route, type RouteAnswer, TAGS } from './route.ts';

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: Json;
}

/** What of the document its readers here look at; the rest is JSON. */
export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: JsonObject;
  readonly servers: readonly JsonObject[];
  readonly tags: readonly JsonObject[];
  readonly security: readonly JsonObject[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonObject>>;
    readonly securitySchemes: JsonObject;
  };
}

export interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly deprecated?: boolean;
  readonly security?: readonly JsonObject[];
  readonly parameters: readonly Parameter[];
  readonly requestBody?: {
    readonly required: boolean;
    readonly content: Readonly<Record<string, { readonly schema: JsonObject; readonly example?: Json }>>;
  };
  readonly responses: Readonly<Record<string, ResponseObject>>;
}

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required: boolean;
  readonly description?: string;
  readonly schema: JsonObject;
}

export interface ResponseObject {
  readonly description: string;
  readonly headers?: JsonObject;
  readonly content?: Readonly<Record<string, { readonly schema: JsonObject }>>;
}

const REFERENCE = '#/components/schemas/';

/** Refusals that any route may give. */
const COMMON_PROBLEMS = [429, 500, 503];
/** And any but those that are open. */
const GUARD_PROBLEMS = [401, 403];

const REASONS: Readonly<Record<number, string>> = {
  400: 'It cannot be read, or means nothing.',
  401: 'Who asks is not known.',
  403: 'Whoever asks may not.',
  404: 'There is no such thing.',
  406: 'It is not told in that form.',
  409: 'As things are it cannot be done.',
  412: 'It is not what it was.',
  413: 'It is too large.',
  415: 'It is not JSON.',
  422: 'What it names is not here.',
  429: 'Too much was asked.',
  500: 'The director made a mistake.',
  501: 'That is not done here.',
  503: 'The director is not ready.',
};

/** `version` is that of the director that serves it. */
export function openApiDocument(routes: Readonly<Record<string, Route>>, version: string): OpenApiDocument {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const [id, route] of Object.entries(routes)) {
    paths[route.path] = { ...paths[route.path], [route.method]: operationOf(id, route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Service Director',
      version,
      description:
        'What a director is told, and what it tells. Problems are RFC 9457, but for the dialects, which refuse in words of their own; times are RFC 3339 in UTC.',
    },
    servers: [{ url: '/' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    security: [{ identityToken: [] }],
    paths,
    components: {
      schemas: components(),
      securitySchemes: {
        identityToken: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'A Google-signed identity token; a local director asks for none.',
        },
      },
    },
  };
}

function operationOf(id: string, route: Route): Operation {
  const { tag, summary, description, deprecated, open, params, query, headers } = route;
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(deprecated ? { deprecated } : {}),
    ...(open ? { security: [] } : {}),
    parameters: [
      ...parametersOf('path', params),
      ...parametersOf('query', query),
      ...parametersOf('header', headers),
    ],
    ...bodyOf(route),
    responses: responsesOf(route),
  };
}

function parametersOf(place: Parameter['in'], fields: z.ZodObject): Parameter[] {
  return Object.entries(fields.shape).map(([name, field]) => {
    const { description, ...schema } = schemaOf(z.toJSONSchema(field, INPUT));
    return {
      name,
      in: place,
      required: place === 'path' || !isOptional(field),
      ...(typeof description === 'string' ? { description } : {}),
      schema,
    };
  });
}

function isOptional(schema: z.core.$ZodType): boolean {
  return z.safeParse(schema, undefined).success;
}

function bodyOf({ body, example }: Route): Pick<Operation, 'requestBody'> {
  if (body === Nothing) return {};
  const schema = requestSchemaOf(body);
  return {
    requestBody: {
      required: !isOptional(body),
      content: {
        'application/json': { schema, ...(example === undefined ? {} : { example: asJson(example) }) },
      },
    },
  };
}

function responsesOf(route: Route): Operation['responses'] {
  const problems = [...route.problems, ...(route.open ? [] : GUARD_PROBLEMS), ...COMMON_PROBLEMS];
  const refusals = problems
    .filter((status) => !(status in route.answers))
    .map((status) => [status, refusalOf(status, route)] as const);
  const answers = Object.entries(route.answers).map(
    ([status, answer]) => [status, responseOf(answer)] as const,
  );
  return Object.fromEntries([...answers, ...refusals]);
}

function refusalOf(status: number, { refusal }: Route): ResponseObject {
  return {
    description: REASONS[status] ?? 'It is refused.',
    content: refusal
      ? { 'application/json': { schema: answerSchemaOf(refusal) } }
      : { 'application/problem+json': { schema: { $ref: `${REFERENCE}Problem` } } },
  };
}

function responseOf({ description, schema, also = [], headers = {} }: RouteAnswer): ResponseObject {
  const named = Object.entries(headers).map(([name, meaning]) => [
    name,
    { description: meaning, schema: { type: 'string' } },
  ]);
  const streams = also.map((type) => [type, { schema: { type: 'string' } }]);
  const isText = schema instanceof z.ZodString;
  const json = isText ? [] : [['application/json', { schema: answerSchemaOf(schema) }]];
  return {
    description,
    ...(named.length > 0 ? { headers: Object.fromEntries(named) } : {}),
    ...(schema === Nothing ? {} : { content: Object.fromEntries([...json, ...streams]) }),
  };
}

type Override = NonNullable<z.core.ToJSONSchemaParams['override']>;
type SchemaNode = Parameters<Override>[0];

const INPUT = { io: 'input', unrepresentable: 'any' } as const;
const OUTPUT = { io: 'output', unrepresentable: 'any', override: tellMore } as const;

function tellMore(node: SchemaNode): void {
  leaveOpen(node);
  closeText(node);
}

/**
 * Texts of which all that there are are known, whatever a schema here takes: a conductor of ours reads a newer director
 * too. Of versions that are older than their kind of record the operation is not known.
 */
const CLOSED: readonly (readonly [unknown, readonly string[]])[] = [
  [DeploymentBrief.shape.status, DEPLOYMENT_STATUSES],
  [DeploymentBrief.shape.operation, OPERATIONS],
  [DeploymentReport.shape.status, DEPLOYMENT_STATUSES],
  [VersionView.shape.operation, [...OPERATIONS, 'unknown']],
  [DeliveryView.shape.type, [...WEBHOOK_EVENTS, 'webhook.test']],
  ...DirectorEvent.options.flatMap(({ shape }) =>
    'status' in shape ? [[shape.status, DEPLOYMENT_STATUSES] as const] : [],
  ),
];

function closeText({ zodSchema, jsonSchema }: SchemaNode): void {
  const values = CLOSED.find(([schema]) => schema === zodSchema)?.[1];
  if (values) jsonSchema.enum = [...values];
}

/** What is answered may grow: a client must not stumble over a field that it does not know. */
function leaveOpen({ zodSchema, jsonSchema }: SchemaNode): void {
  const { def } = zodSchema._zod;
  if (def.type === 'object' && !('catchall' in def && def.catchall)) delete jsonSchema.additionalProperties;
}

/** Named schemas refer to each other by name. */
function components(): OpenApiDocument['components']['schemas'] {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(NAMED)) registry.add(schema, { id });
  const { schemas } = z.toJSONSchema(registry, { ...OUTPUT, uri: (id) => `${REFERENCE}${id}` });
  const named = Object.entries(schemas).map(([id, schema]) => [id, schemaOf(schema)] as const);
  return { ...Object.fromEntries(named), ...architecture() };
}

/** With its parts that mean themselves beside it: a document has one place for what is referred to. */
function architecture(): Record<string, JsonObject> {
  const text = JSON.stringify(jsonSchemaOf(Architecture));
  const { $defs = {}, ...whole } = schemaOf(
    JSON.parse(text.replaceAll('"#/$defs/__', `"${REFERENCE}Architecture_`)),
  );
  const parts = Object.entries(asObject.parse($defs)).map(
    ([name, part]) => [name.replace('__', 'Architecture_'), asObject.parse(part)] as const,
  );
  const shapeless = new Set<unknown>(parts.filter(isAnyJson).map(([name]) => REFERENCE + name));
  const shaped = parts.filter(([name]) => !shapeless.has(REFERENCE + name));
  return withoutReferences({ Architecture: whole, ...Object.fromEntries(shaped) }, shapeless);
}

/** Whether it says of all JSON what JSON is; where that is said by references to itself, generated types do not compile. */
function isAnyJson([name, part]: readonly [string, JsonObject]): boolean {
  const itself = { $ref: REFERENCE + name };
  const plain = ['string', 'number', 'boolean', 'null'].map((type) => ({ type }));
  const list = { type: 'array', items: itself };
  const object = { type: 'object', propertyNames: { type: 'string' }, additionalProperties: itself };
  return JSON.stringify(part) === JSON.stringify({ anyOf: [...plain, list, object] });
}

/** What referred to one of those takes anything: a schema that says nothing. */
function withoutReferences(
  schemas: Record<string, JsonObject>,
  gone: ReadonlySet<unknown>,
): Record<string, JsonObject> {
  const text = JSON.stringify(schemas);
  const parsed = JSON.parse(text, (key, value) => (key === '$ref' && gone.has(value) ? undefined : value));
  return z.record(z.string(), asObject).parse(parsed);
}

function answerSchemaOf(schema: z.ZodType): JsonObject {
  const name = Object.entries(NAMED).find(([, named]) => named === schema)?.[0];
  return name === undefined ? inline(schema) : { $ref: `${REFERENCE}${name}` };
}

/** An answer without a name, around others that have one. */
function inline(schema: z.ZodType): JsonObject {
  const registry = z.registry<{ id: string }>();
  for (const [id, named] of Object.entries(NAMED)) registry.add(named, { id });
  registry.add(schema, { id: 'This' });
  const { schemas } = z.toJSONSchema(registry, { ...OUTPUT, uri: (id) => `${REFERENCE}${id}` });
  return schemaOf(schemas.This ?? {});
}

/** A body; an architecture in it stands for itself. */
function requestSchemaOf(body: z.ZodType): JsonObject {
  const override: Override = ({ zodSchema, jsonSchema }) => {
    if (zodSchema !== Architecture) return;
    for (const key of Object.keys(jsonSchema)) delete jsonSchema[key];
    jsonSchema.$ref = `${REFERENCE}Architecture`;
  };
  // What only the architecture refers to stands beside it.
  const { $defs: _, ...schema } = schemaOf(z.toJSONSchema(body, { ...INPUT, override }));
  return schema;
}

/** Without what says which schema it is: the document does. */
function schemaOf(schema: object): JsonObject {
  const { $schema: _schema, $id: _id, '~standard': _standard, ...rest } = asObject.parse(asJson(schema));
  return rest;
}

const anyJson: z.ZodType<Json> = z.json();
const asObject: z.ZodType<JsonObject> = z.record(z.string(), anyJson);

function asJson(value: object): Json {
  return anyJson.parse(JSON.parse(JSON.stringify(value)));
}
