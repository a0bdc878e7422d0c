/**
 * Checks values by JSON Schema (draft 2020-12), as far as our documents use it: by its own reading of them, and not by
 * what they were printed from. Throws for a keyword that it does not know: nothing goes unchecked.
 */
import type { Json, JsonObject } from '@service-director/shared/contract/rest/openapi.ts';

type Schemas = Readonly<Record<string, JsonObject>>;
type Check = (value: unknown, argument: Json, schema: JsonObject, at: string, schemas: Schemas) => string[];

const REFERENCE = '#/components/schemas/';

/** What does not fit, each with its place; none where all does. */
export function faultsIn(value: unknown, schema: Json, schemas: Schemas, at = ''): string[] {
  if (schema === true) return [];
  if (schema === false) return [`${at}: nothing may be here`];
  if (!isObject(schema)) throw new Error(`This is no schema: ${JSON.stringify(schema)}`);
  return Object.entries(schema).flatMap(([keyword, argument]) => {
    const check = CHECKS[keyword];
    if (!check) throw new Error(`The keyword ${keyword} is not known here`);
    return check(value, argument, schema, at, schemas);
  });
}

/** The same in every word but this: only values of a kind are looked at. */
const texts = (holds: (text: string, argument: Json) => boolean): Check => {
  return (value, argument, _schema, at) =>
    typeof value !== 'string' || holds(value, argument) ? [] : [`${at}: ${value} is not ${argument}`];
};
const numbers = (holds: (number: number, argument: number) => boolean): Check => {
  return (value, argument, _schema, at) =>
    typeof value !== 'number' || holds(value, Number(argument)) ? [] : [`${at}: ${value} is not ${argument}`];
};
const lists = (holds: (length: number, argument: number) => boolean): Check => {
  return (value, argument, _schema, at) =>
    !Array.isArray(value) || holds(value.length, Number(argument))
      ? []
      : [`${at}: ${value.length} are not ${argument}`];
};
const says: Check = () => [];

const CHECKS: Readonly<Record<string, Check>> = {
  description: says,
  title: says,
  default: says,
  examples: says,
  format: says,
  deprecated: says,
  $ref(value, argument, _schema, at, schemas) {
    const named = schemas[String(argument).replace(REFERENCE, '')];
    if (!named) throw new Error(`${argument} refers to nothing`);
    return faultsIn(value, named, schemas, at);
  },
  type(value, argument, _schema, at) {
    const types = Array.isArray(argument) ? argument : [argument];
    return types.includes(typeOf(value)) || (types.includes('number') && typeOf(value) === 'integer')
      ? []
      : [`${at}: it is ${typeOf(value)} and not ${types.join(' or ')}`];
  },
  const: (value, argument, _schema, at) => (value === argument ? [] : [`${at}: it is not ${argument}`]),
  enum: (value, argument, _schema, at) =>
    listOf(argument).some((one) => one === value) ? [] : [`${at}: ${value} is none of ${argument}`],
  properties(value, argument, _schema, at, schemas) {
    if (!isObject(value)) return [];
    return Object.entries(objectOf(argument)).flatMap(([name, inner]) =>
      name in value ? faultsIn(value[name], inner, schemas, `${at}/${name}`) : [],
    );
  },
  required: (value, argument, _schema, at) =>
    isObject(value)
      ? listOf(argument).flatMap((name) => (String(name) in value ? [] : [`${at}: ${name} is missing`]))
      : [],
  additionalProperties(value, argument, schema, at, schemas) {
    if (!isObject(value)) return [];
    const known = objectOf(schema.properties ?? {});
    return Object.entries(value).flatMap(([name, inner]) =>
      name in known ? [] : faultsIn(inner, argument, schemas, `${at}/${name}`),
    );
  },
  propertyNames: (value, argument, _schema, at, schemas) =>
    isObject(value)
      ? Object.keys(value).flatMap((name) => faultsIn(name, argument, schemas, `${at}/${name}`))
      : [],
  items: (value, argument, _schema, at, schemas) =>
    Array.isArray(value)
      ? value.flatMap((one, place) => faultsIn(one, argument, schemas, `${at}/${place}`))
      : [],
  minItems: lists((length, least) => length >= least),
  maxItems: lists((length, most) => length <= most),
  anyOf(value, argument, _schema, at, schemas) {
    const tried = listOf(argument).map((one) => faultsIn(value, one, schemas, at));
    return tried.some((faults) => faults.length === 0) ? [] : tried.flat();
  },
  oneOf(value, argument, _schema, at, schemas) {
    const tried = listOf(argument).map((one) => faultsIn(value, one, schemas, at));
    const fitting = tried.filter((faults) => faults.length === 0).length;
    return fitting === 1 ? [] : [`${at}: ${fitting} fit, and not one`, ...tried.flat()];
  },
  allOf: (value, argument, _schema, at, schemas) =>
    listOf(argument).flatMap((one) => faultsIn(value, one, schemas, at)),
  pattern: texts((text, pattern) => new RegExp(String(pattern), 'u').test(text)),
  minLength: texts((text, least) => text.length >= Number(least)),
  maxLength: texts((text, most) => text.length <= Number(most)),
  minimum: numbers((number, least) => number >= least),
  maximum: numbers((number, most) => number <= most),
  exclusiveMinimum: numbers((number, least) => number > least),
};

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function objectOf(value: Json): JsonObject {
  if (!isObject(value)) throw new Error(`This is no object: ${JSON.stringify(value)}`);
  return value;
}

function listOf(value: Json): readonly Json[] {
  if (!Array.isArray(value)) throw new Error(`This is no list: ${JSON.stringify(value)}`);
  return value;
}
