/**
 * The shapes of Google's messages, read from the protos that Google publishes on npm.
 *
 * A request is checked as Google checks it: an unknown field or a bad value is refused with
 * Google's own words. Inside the local cloud a message is plain JSON in its canonical form:
 * camelCase names, enums as names, 64-bit numbers and bytes as strings
 * (https://protobuf.dev/programming-guides/json/).
 */
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import protobuf from 'protobufjs';
import protojson from 'protobufjs/ext/protojson.js';
import { GoogleError } from './error.ts';
import { isObject, type Json, type JsonObject } from './json.ts';

export interface Shapes {
  readonly root: protobuf.Root;
  message(name: string): protobuf.Type;
  service(name: string): protobuf.Service;
}

/** Loads proto files of the `google-proto-files` package, each named as in an import: `google/pubsub/v1/pubsub.proto`. */
export function loadShapes(files: readonly string[]): Shapes {
  const base = dirname(createRequire(import.meta.url).resolve('google-proto-files/package.json'));
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) =>
    join(base, target.startsWith(base) ? relative(base, target) : target);
  root.loadSync([...files], { keepCase: false });
  root.resolveAll();
  return {
    root,
    message: (name) => root.lookupType(name),
    service: (name) => root.lookupService(name),
  };
}

/** Checks JSON against a message and returns it in canonical form. `at` is where it stands in the request, as Google writes it: `service.template`. */
export function readMessage(type: protobuf.Type, json: unknown, at = ''): JsonObject {
  const special = readWellKnown(type, json, at);
  if (special !== undefined) return special as JsonObject;
  if (!isObject(json)) throw badValue(at, type.fullName.slice(1), json);
  const out: JsonObject = {};
  for (const [name, value] of Object.entries(json)) {
    const field = fieldOf(type, name);
    if (!field) throw unknownField(name, at);
    if (value === null || value === undefined) continue;
    if (out[field.name] !== undefined)
      throw invalidPayload(at, `Proto field is not repeating, cannot start list.`);
    out[field.name] = readField(field, value, at === '' ? field.name : `${at}.${field.name}`);
  }
  for (const oneof of type.oneofsArray) {
    const set = oneof.fieldsArray.filter((field) => out[field.name] !== undefined);
    if (set.length > 1 && !isSyntheticOneof(oneof)) {
      throw invalidPayload(
        at,
        `Invalid value (oneof), oneof field '${oneof.name}' is already set. Cannot set '${set[1]?.name}'`,
      );
    }
  }
  return out;
}

/**
 * A message as an answer: fields that hold their default are left out, as Google leaves them out.
 * Throws for a field that the message does not have: that is a mistake of ours.
 */
export function writeMessage(type: protobuf.Type, json: JsonObject): JsonObject {
  // What an Any holds is not gone through here; its undefined fields, which gRPC cannot write, must go too.
  if (type.fullName === '.google.protobuf.Any') return JSON.parse(JSON.stringify(json));
  if (isWellKnown(type)) return json;
  const out: JsonObject = {};
  for (const [name, value] of Object.entries(json)) {
    if (value === undefined || value === null) continue;
    const field = type.fields[name];
    if (!field) throw new Error(`${type.fullName} has no field ${name}`);
    const written = writeField(field, value);
    if (written !== undefined) out[name] = written;
  }
  return out;
}

/** One query parameter, whose path may be dotted (`options.requestedPolicyVersion`), put where it belongs. */
export function readQuery(
  type: protobuf.Type,
  path: string,
  values: readonly string[],
  into: JsonObject,
): void {
  const [head = '', ...rest] = path.split('.');
  const field = fieldOf(type, head);
  if (!field) throw unknownQuery(path, head);
  if (rest.length > 0) {
    if (!(field.resolvedType instanceof protobuf.Type)) throw unknownQuery(path, rest[0] ?? '');
    const inner = isObject(into[field.name]) ? (into[field.name] as JsonObject) : {};
    into[field.name] = inner;
    readQuery(field.resolvedType, rest.join('.'), values, inner);
    return;
  }
  into[field.name] = field.repeated
    ? values.map((value) => readValue(field, value, path))
    : readValue(field, values.at(-1) ?? '', path);
}

/** A decoded protobuf message as canonical JSON. */
export function toJson(type: protobuf.Type, message: object): JsonObject {
  return protojson.toJson(type, type.fromObject(message)) as JsonObject;
}

/** Canonical JSON as a protobuf message, ready to encode. */
export function fromJson(type: protobuf.Type, json: JsonObject): object {
  return protojson.fromJson(type, json);
}

function fieldOf(type: protobuf.Type, name: string): protobuf.Field | undefined {
  const direct = type.fields[name];
  if (direct) return direct.resolve();
  const camel = name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  return type.fields[camel]?.resolve();
}

function readField(field: protobuf.Field, value: Json, at: string): Json {
  if (field instanceof protobuf.MapField) {
    if (!isObject(value)) throw badValue(at, 'Map', value);
    const entries = Object.entries(value).map(([key, inner]) => [
      key,
      readValue(field, inner ?? null, `${at}[${key}]`),
    ]);
    return Object.fromEntries(entries);
  }
  if (field.repeated) {
    const list = Array.isArray(value) ? value : [value];
    return list.map((inner, index) => readValue(field, inner, `${at}[${index}]`));
  }
  return readValue(field, value, at);
}

function readValue(field: protobuf.Field, value: Json, at: string): Json {
  const { resolvedType } = field;
  if (resolvedType instanceof protobuf.Type) return readMessage(resolvedType, value, at);
  if (resolvedType instanceof protobuf.Enum) return readEnum(resolvedType, value, at);
  const read = SCALARS[field.type] ?? readInt32;
  const scalar = read(value);
  if (scalar === undefined) throw badValue(at, `TYPE_${field.type.toUpperCase()}`, value);
  return scalar;
}

/** Each gives the canonical form, or undefined for what is no such value. */
const SCALARS: Readonly<Record<string, (value: Json) => Json | undefined>> = {
  string: (value) => (typeof value === 'string' ? value : undefined),
  bytes: (value) =>
    typeof value === 'string' && /^[\w+/-]*={0,2}$/.test(value)
      ? value.replace(/-/g, '+').replace(/_/g, '/')
      : undefined,
  bool: (value) => {
    if (typeof value === 'boolean') return value;
    // gcloud writes `False` in queries.
    const text = String(value).toLowerCase();
    return text === 'true' || text === 'false' ? text === 'true' : undefined;
  },
  double: readFloat,
  float: readFloat,
  int64: readInt64,
  uint64: readInt64,
  sint64: readInt64,
  fixed64: readInt64,
  sfixed64: readInt64,
};

function readFloat(value: Json): number | undefined {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof number === 'number' && !Number.isNaN(number) ? number : undefined;
}

function readInt64(value: Json): string | undefined {
  const text = typeof value === 'number' && Number.isInteger(value) ? String(value) : value;
  return typeof text === 'string' && /^-?\d+$/.test(text) ? text : undefined;
}

function readInt32(value: Json): number | undefined {
  const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isInteger(number) ? number : undefined;
}

function readEnum(type: protobuf.Enum, value: Json, at: string): string {
  const name = typeof value === 'number' ? type.valuesById[value] : value;
  if (typeof name !== 'string' || type.values[name] === undefined) {
    throw badValue(at, `type.googleapis.com/${type.fullName.slice(1)}`, value);
  }
  return name;
}

function writeField(field: protobuf.Field, value: Json): Json | undefined {
  const { resolvedType } = field.resolve();
  const one = (inner: Json): Json => {
    if (resolvedType instanceof protobuf.Type && isObject(inner)) return writeMessage(resolvedType, inner);
    return inner;
  };
  if (field instanceof protobuf.MapField && isObject(value)) {
    const entries = Object.entries(value).map(([key, inner]) => [key, one(inner ?? null)]);
    return entries.length > 0 ? Object.fromEntries(entries) : undefined;
  }
  if (Array.isArray(value)) return value.length > 0 ? value.map(one) : undefined;
  if (resolvedType instanceof protobuf.Type) return one(value);
  const hasPresence = field.partOf !== null && field.partOf !== undefined;
  if (hasPresence) return value;
  if (resolvedType instanceof protobuf.Enum)
    return resolvedType.values[String(value)] === 0 ? undefined : value;
  return value === false || value === 0 || value === '' || value === '0' ? undefined : value;
}

const WRAPPERS = /^\.google\.protobuf\.(Double|Float|Int64|UInt64|Int32|UInt32|Bool|String|Bytes)Value$/;
const DURATION = /^-?\d+(\.\d{1,9})?s$/;
const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/;

function isWellKnown(type: protobuf.Type): boolean {
  return (
    WRAPPERS.test(type.fullName) ||
    /^\.google\.protobuf\.(Any|Struct|Value|ListValue|Duration|Timestamp|FieldMask)$/.test(type.fullName)
  );
}

/** The messages whose JSON is not an object of their fields. */
function readWellKnown(type: protobuf.Type, json: unknown, at: string): Json | undefined {
  const text = typeof json === 'string' ? json : undefined;
  switch (type.fullName) {
    case '.google.protobuf.Duration':
      if (text === undefined || !DURATION.test(text))
        throw badValue(at, 'type.googleapis.com/google.protobuf.Duration', json);
      return text;
    case '.google.protobuf.Timestamp':
      if (text === undefined || !RFC3339.test(text))
        throw badValue(at, 'type.googleapis.com/google.protobuf.Timestamp', json);
      return text;
    case '.google.protobuf.FieldMask':
      if (text === undefined) throw badValue(at, 'type.googleapis.com/google.protobuf.FieldMask', json);
      return text.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    case '.google.protobuf.Any':
    case '.google.protobuf.Struct':
      if (!isObject(json)) throw badValue(at, type.fullName.slice(1), json);
      return json;
    case '.google.protobuf.Value':
    case '.google.protobuf.ListValue':
      return json as Json;
    default: {
      if (!WRAPPERS.test(type.fullName)) return undefined;
      const inner = type.fields.value?.resolve();
      return inner ? readValue(inner, json as Json, at) : undefined;
    }
  }
}

/** `optional` fields of proto3 are oneofs of one, made by the compiler. */
function isSyntheticOneof(oneof: protobuf.OneOf): boolean {
  return oneof.fieldsArray.length === 1;
}

function unknownField(name: string, at: string): GoogleError {
  const where = at === '' ? '' : ` at '${at}'`;
  return invalidPayload(
    at,
    `Invalid JSON payload received. Unknown name "${name}"${where}: Cannot find field.`,
  );
}

function unknownQuery(path: string, name: string): GoogleError {
  return invalidPayload(
    path,
    `Invalid JSON payload received. Unknown name "${path}": Cannot bind query parameter. Field '${name}' could not be found in request message.`,
  );
}

function badValue(at: string, type: string, value: unknown): GoogleError {
  return invalidPayload(at, `Invalid value at '${at}' (${type}), ${JSON.stringify(value)}`);
}

function invalidPayload(field: string, description: string): GoogleError {
  return new GoogleError('INVALID_ARGUMENT', description, [
    {
      '@type': 'type.googleapis.com/google.rpc.BadRequest',
      fieldViolations: [{ ...(field === '' ? {} : { field }), description }],
    },
  ]);
}

/** The message type of a field or of one end of a method. */
export function messageOf(
  type: protobuf.Type | protobuf.Enum | null,
  of: protobuf.ReflectionObject,
): protobuf.Type {
  if (type === null || !('fields' in type)) throw new Error(`${of.fullName} has no message type`);
  return type;
}
