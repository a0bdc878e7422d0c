/** The bodies that the JSON API takes, field by field, and the check of what came against them. */
import { isObject, type Json, type JsonObject } from '../../json.ts';
import { badRequest } from './refusals.ts';

type Shape =
  | 'string'
  | 'boolean'
  /** A number, or its decimal text. */
  | 'int32'
  /** Decimal text, or a number. */
  | 'int64'
  /** `2026-01-31`. */
  | 'date'
  /** RFC 3339. */
  | 'time'
  | { readonly list: Shape }
  | { readonly map: Shape }
  | { readonly fields: Fields };

type Fields = Readonly<Record<string, Shape>>;

const ENABLED: Shape = { fields: { enabled: 'boolean' } };
const SWITCH: Shape = { fields: { enabled: 'boolean', lockedTime: 'time' } };
const OWNER: Shape = { fields: { entity: 'string', entityId: 'string' } };
const STRINGS: Shape = { list: 'string' };
const ENFORCEMENT: Shape = { fields: { effectiveTime: 'time', restrictionMode: 'string' } };
const ACCESS_CONTROL: Shape = {
  fields: {
    bucket: 'string',
    domain: 'string',
    email: 'string',
    entity: 'string',
    entityId: 'string',
    etag: 'string',
    generation: 'int64',
    id: 'string',
    kind: 'string',
    object: 'string',
    projectTeam: { fields: { projectNumber: 'string', team: 'string' } },
    role: 'string',
    selfLink: 'string',
  },
};

const CONDITION: Fields = {
  age: 'int32',
  createdBefore: 'date',
  customTimeBefore: 'date',
  daysSinceCustomTime: 'int32',
  daysSinceNoncurrentTime: 'int32',
  isLive: 'boolean',
  matchesPattern: 'string',
  matchesPrefix: STRINGS,
  matchesStorageClass: STRINGS,
  matchesSuffix: STRINGS,
  noncurrentTimeBefore: 'date',
  numNewerVersions: 'int32',
  sizeAboveBytes: 'int64',
  sizeBelowBytes: 'int64',
};

export const BUCKET: Fields = {
  acl: { list: ACCESS_CONTROL },
  autoclass: {
    fields: {
      enabled: 'boolean',
      terminalStorageClass: 'string',
      terminalStorageClassUpdateTime: 'time',
      toggleTime: 'time',
    },
  },
  billing: { fields: { requesterPays: 'boolean' } },
  cors: {
    list: { fields: { maxAgeSeconds: 'int32', method: STRINGS, origin: STRINGS, responseHeader: STRINGS } },
  },
  customPlacementConfig: { fields: { dataLocations: STRINGS } },
  defaultEventBasedHold: 'boolean',
  defaultObjectAcl: { list: ACCESS_CONTROL },
  encryption: {
    fields: {
      customerManagedEncryptionEnforcementConfig: ENFORCEMENT,
      customerSuppliedEncryptionEnforcementConfig: ENFORCEMENT,
      defaultKmsKeyName: 'string',
      googleManagedEncryptionEnforcementConfig: ENFORCEMENT,
    },
  },
  etag: 'string',
  generation: 'int64',
  hardDeleteTime: 'time',
  hierarchicalNamespace: ENABLED,
  iamConfiguration: {
    fields: {
      bucketPolicyOnly: SWITCH,
      publicAccessPrevention: 'string',
      uniformBucketLevelAccess: SWITCH,
    },
  },
  id: 'string',
  ipFilter: {
    fields: {
      allowAllServiceAgentAccess: 'boolean',
      allowCrossOrgVpcs: 'boolean',
      mode: 'string',
      publicNetworkSource: { fields: { allowedIpCidrRanges: STRINGS } },
      vpcNetworkSources: { list: { fields: { allowedIpCidrRanges: STRINGS, network: 'string' } } },
    },
  },
  kind: 'string',
  labels: { map: 'string' },
  lifecycle: {
    fields: {
      rule: {
        list: {
          fields: {
            action: { fields: { storageClass: 'string', type: 'string' } },
            condition: { fields: CONDITION },
          },
        },
      },
    },
  },
  location: 'string',
  locationType: 'string',
  logging: { fields: { logBucket: 'string', logObjectPrefix: 'string' } },
  metageneration: 'int64',
  name: 'string',
  objectRetention: { fields: { mode: 'string' } },
  owner: OWNER,
  projectNumber: 'int64',
  retentionPolicy: { fields: { effectiveTime: 'time', isLocked: 'boolean', retentionPeriod: 'int64' } },
  rpo: 'string',
  satisfiesPZI: 'boolean',
  satisfiesPZS: 'boolean',
  selfLink: 'string',
  softDeletePolicy: { fields: { effectiveTime: 'time', retentionDurationSeconds: 'int64' } },
  softDeleteTime: 'time',
  storageClass: 'string',
  timeCreated: 'time',
  updated: 'time',
  versioning: ENABLED,
  website: { fields: { mainPageSuffix: 'string', notFoundPage: 'string' } },
};

export const OBJECT: Fields = {
  acl: { list: ACCESS_CONTROL },
  bucket: 'string',
  cacheControl: 'string',
  componentCount: 'int32',
  contentDisposition: 'string',
  contentEncoding: 'string',
  contentLanguage: 'string',
  contentType: 'string',
  contexts: {
    fields: {
      custom: {
        map: {
          fields: { createTime: 'time', extendedDataTypeUrl: 'string', updateTime: 'time', value: 'string' },
        },
      },
    },
  },
  crc32c: 'string',
  customTime: 'time',
  customerEncryption: { fields: { encryptionAlgorithm: 'string', keySha256: 'string' } },
  etag: 'string',
  eventBasedHold: 'boolean',
  generation: 'int64',
  hardDeleteTime: 'time',
  id: 'string',
  kind: 'string',
  kmsKeyName: 'string',
  md5Hash: 'string',
  mediaLink: 'string',
  metadata: { map: 'string' },
  metageneration: 'int64',
  name: 'string',
  owner: OWNER,
  restoreToken: 'string',
  retention: { fields: { mode: 'string', retainUntilTime: 'time' } },
  retentionExpirationTime: 'time',
  selfLink: 'string',
  size: 'int64',
  softDeleteTime: 'time',
  storageClass: 'string',
  temporaryHold: 'boolean',
  timeCreated: 'time',
  timeDeleted: 'time',
  timeFinalized: 'time',
  timeStorageClassUpdated: 'time',
  updated: 'time',
};

export const COMPOSITION: Fields = {
  deleteSourceObjects: 'boolean',
  destination: { fields: OBJECT },
  kind: 'string',
  sourceObjects: {
    list: {
      fields: {
        generation: 'int64',
        name: 'string',
        objectPreconditions: { fields: { ifGenerationMatch: 'int64' } },
      },
    },
  },
};

export const POLICY: Fields = {
  bindings: {
    list: {
      fields: {
        condition: {
          fields: { description: 'string', expression: 'string', location: 'string', title: 'string' },
        },
        members: STRINGS,
        role: 'string',
      },
    },
  },
  etag: 'string',
  kind: 'string',
  resourceId: 'string',
  version: 'int32',
};

/** A body in its canonical form. `null` stays where it was said: in a patch it removes. */
export function readFields(fields: Fields, json: Json | undefined): JsonObject {
  if (json === undefined || json === null) return {};
  return readObject(fields, json, '');
}

function readObject(fields: Fields, json: Json, at: string): JsonObject {
  if (!isObject(json)) throw badValue(at, 'object', json);
  const read: JsonObject = {};
  for (const [name, value] of Object.entries(json)) {
    const shape = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (shape === undefined) throw unknownName(name, at);
    if (value !== undefined) read[name] = value === null ? null : readValue(shape, value, join(at, name));
  }
  return read;
}

function readValue(shape: Shape, json: Json, at: string): Json {
  if (typeof shape !== 'string') return readNested(shape, json, at);
  switch (shape) {
    case 'boolean':
      if (typeof json === 'boolean') return json;
      break;
    case 'int32':
      if (INTEGER.test(String(json)) && Math.abs(Number(json)) < 2 ** 31) return Number(json);
      break;
    case 'int64':
      if (INTEGER.test(String(json))) return String(json);
      break;
    default:
      if (typeof json === 'string' && (FORMATS[shape]?.test(json) ?? true)) return json;
  }
  throw badValue(at, shape, json);
}

const INTEGER = /^-?\d{1,19}$/;
const FORMATS: Readonly<Record<string, RegExp>> = {
  date: /^\d{4}-(0[1-9]|1[0-2])-([0-2]\d|3[01])$/,
  time: /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/,
};

function readNested(shape: Exclude<Shape, string>, json: Json, at: string): Json {
  if ('fields' in shape) return readObject(shape.fields, json, at);
  if ('list' in shape) {
    if (!Array.isArray(json)) throw badValue(at, 'array', json);
    return json.map((value, index) => readValue(shape.list, value, `${at}[${index}]`));
  }
  if (!isObject(json)) throw badValue(at, 'object', json);
  const read: JsonObject = {};
  for (const [key, value] of Object.entries(json)) {
    if (value !== undefined) read[key] = value === null ? null : readValue(shape.map, value, join(at, key));
  }
  return read;
}

/** The first with the second merged in: objects by field, all else as a whole; `null` removes. */
export function merge(base: JsonObject, patch: JsonObject): JsonObject {
  const merged: JsonObject = { ...base };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null || value === undefined) delete merged[name];
    else if (isObject(value)) merged[name] = merge(objectAt(base, name), value);
    else merged[name] = value;
  }
  return merged;
}

/** The nested object of that name; an empty one where there is none. */
export function objectAt(json: JsonObject, name: string): JsonObject {
  const value = json[name];
  return isObject(value) ? value : {};
}

/** The text of that name, if it is one. */
export function textAt(json: JsonObject, name: string): string | undefined {
  const value = json[name];
  return typeof value === 'string' ? value : undefined;
}

/** Those fields only. */
export function pick(json: JsonObject, names: readonly string[]): JsonObject {
  return Object.fromEntries(
    names.flatMap((name) => (json[name] === undefined ? [] : [[name, json[name]] as const])),
  );
}

function join(at: string, name: string): string {
  return at === '' ? name : `${at}.${name}`;
}

function unknownName(name: string, at: string): Error {
  const where = at === '' ? '' : ` at '${at}'`;
  return badRequest(`Invalid JSON payload received. Unknown name "${name}"${where}: Cannot find field.`);
}

function badValue(at: string, type: string, value: Json): Error {
  const where = at === '' ? 'the request' : `'${at}'`;
  return badRequest(`Invalid value at ${where} (${type}), ${JSON.stringify(value)}`);
}
