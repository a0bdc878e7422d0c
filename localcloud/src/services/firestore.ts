/** Firestore's databases, not what is in them. See firestore.md. */
import { randomBytes, randomUUID } from 'node:crypto';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { LocalCloud } from '../cloud.ts';
import { GoogleError, invalid, notFound } from '../error.ts';
import { isObject, type JsonObject } from '../json.ts';
import type { Access, Service } from '../service.ts';
import type { Table } from '../store.ts';
import { isRegion } from './locations.ts';

/** `google.firestore.admin.v1.Database`, without what is computed. */
type Database = JsonObject & { name: string };

const TYPES = 'type.googleapis.com/google.firestore.admin.v1';
const HOUR_SECONDS = 60 * 60;
const RECOVERY_SECONDS = 7 * 24 * HOUR_SECONDS;

export function firestore(cloud: LocalCloud): { service: Service } {
  const table: Table<Database> = cloud.store.table('firestore.databases');

  function get(name: string): Database {
    const database = table.get(name);
    if (!database) throw notFound(name);
    return database;
  }

  function show(database: Database): JsonObject {
    const hasRecovery = database.pointInTimeRecoveryEnablement === 'POINT_IN_TIME_RECOVERY_ENABLED';
    const seconds = hasRecovery ? RECOVERY_SECONDS : HOUR_SECONDS;
    const earliest = Math.max(Date.parse(String(database.createTime)), cloud.clock.now() - seconds * 1_000);
    return {
      ...database,
      versionRetentionPeriod: `${seconds}s`,
      earliestVersionTime: timestamp(earliest),
    };
  }

  const shown = (database: Database): JsonObject => ({ '@type': `${TYPES}.Database`, ...show(database) });

  /** What is written, with the time and the etag of that. */
  function stamped(database: Database): Database {
    const etag = randomBytes(9).toString('base64');
    return { ...database, updateTime: timestamp(cloud.clock.now()), etag };
  }

  function create(request: JsonObject): JsonObject {
    const parent = String(request.parent);
    const id = String(request.databaseId ?? '');
    const asked = databaseIn(request);
    const { projectId } = cloud.projects.get(parent.split('/')[1] ?? '');
    checkId(id);
    checkNew(asked);
    const name = `${parent}/databases/${id}`;
    if (table.has(name)) throw exists(name);
    return cloud.operations.start({
      parent: name,
      metadata: { '@type': `${TYPES}.CreateDatabaseMetadata` },
      async work() {
        if (table.has(name)) throw exists(name);
        const hasFree = table
          .values()
          .some((other) => other.freeTier === true && other.name.startsWith(`projects/${projectId}/`));
        const database = stamped({
          ...DEFAULTS,
          ...pick(asked, [...UPDATABLE, 'locationId']),
          name,
          uid: randomUUID(),
          createTime: timestamp(cloud.clock.now()),
          freeTier: !hasFree,
        });
        table.set(name, database);
        return shown(database);
      },
    });
  }

  function update(request: JsonObject): JsonObject {
    const asked = databaseIn(request);
    const name = String(asked.name);
    checkEtag(get(name), asked.etag);
    const fields = fieldsOf(String(request.updateMask ?? ''), asked);
    return cloud.operations.start({
      parent: name,
      metadata: { '@type': `${TYPES}.UpdateDatabaseMetadata` },
      async work() {
        const database = stamped({ ...get(name), ...pick(DEFAULTS, fields), ...pick(asked, fields) });
        table.set(name, database);
        return shown(database);
      },
    });
  }

  function remove(request: JsonObject): JsonObject {
    const name = String(request.name);
    const database = get(name);
    checkEtag(database, request.etag);
    if (database.deleteProtectionState === PROTECTED) {
      throw new GoogleError(
        'FAILED_PRECONDITION',
        `Database ${name} is protected from deletion; set delete_protection_state to DELETE_PROTECTION_DISABLED first.`,
      );
    }
    return cloud.operations.start({
      parent: name,
      metadata: { '@type': `${TYPES}.DeleteDatabaseMetadata` },
      async work() {
        table.delete(name);
        return shown(database);
      },
    });
  }

  return {
    service: {
      name: 'firestore',
      host: 'firestore.googleapis.com',
      title: 'Cloud Firestore API',
      protos: ['google/firestore/admin/v1/firestore_admin.proto'],
      methods: {
        'google.firestore.admin.v1.FirestoreAdmin': {
          CreateDatabase: {
            access: ({ parent }) => on(parent, 'datastore.databases.create'),
            handle: create,
          },
          GetDatabase: {
            access: ({ name }) => on(name, 'datastore.databases.getMetadata'),
            handle: ({ name }) => show(get(String(name))),
          },
          ListDatabases: {
            access: ({ parent }) => on(parent, 'datastore.databases.list'),
            handle: ({ parent }) => ({
              databases: [...table.values()]
                .filter(({ name }) => name.startsWith(`${String(parent)}/`))
                .sort((a, b) => (a.name < b.name ? -1 : 1))
                .map(show),
            }),
          },
          UpdateDatabase: {
            access: (request) => on(databaseIn(request).name, 'datastore.databases.update'),
            handle: update,
          },
          DeleteDatabase: {
            access: ({ name }) => on(name, 'datastore.databases.delete'),
            handle: remove,
          },
        },
      },
    },
  };
}

const PROTECTED = 'DELETE_PROTECTION_ENABLED';

/** What may be changed, and what it is where nothing is said. The type has to be said. */
const SETTINGS = {
  concurrencyMode: 'PESSIMISTIC',
  pointInTimeRecoveryEnablement: 'POINT_IN_TIME_RECOVERY_DISABLED',
  deleteProtectionState: 'DELETE_PROTECTION_DISABLED',
  appEngineIntegrationMode: 'DISABLED',
};
const UPDATABLE: readonly string[] = ['type', ...Object.keys(SETTINGS)];
const DEFAULTS: JsonObject = { ...SETTINGS, databaseEdition: 'STANDARD' };

/** Databases have no policies of their own: who may do what with them stands in the project's. */
function on(name: unknown, permission: string): Access {
  return { permission, resource: String(name).split('/').slice(0, 2).join('/') };
}

function databaseIn({ database }: JsonObject): JsonObject {
  return isObject(database) ? database : {};
}

function checkId(id: string): void {
  if (id === '(default)') return;
  const isUuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id);
  if (/^[a-z][a-z0-9-]{2,61}[a-z0-9]$/.test(id) && !isUuid) return;
  throw invalid(
    `Invalid database ID "${id}": it must be 4 to 63 lower-case letters, digits and hyphens, begin with a letter, not end with a hyphen and not be a UUID; or (default).`,
    'database_id',
  );
}

function checkNew({ type, locationId = '', databaseEdition = 'STANDARD', ...rest }: JsonObject): void {
  if (!isSaid(type)) throw invalid('A database needs a type.', 'database.type');
  const location = String(locationId);
  if (!isRegion(location) && !MULTI_REGIONS.has(location))
    throw invalid(`Firestore has no location "${location}".`, 'database.location_id');
  // gcloud sends both, empty.
  const unserved = ['cmekConfig', 'tags'].find((field) => Object.keys(rest[field] ?? {}).length > 0);
  if (unserved) throw invalid(`The local cloud has no databases with ${unserved}.`, 'database');
  if (databaseEdition !== 'STANDARD' && isSaid(databaseEdition))
    throw invalid('The local cloud has databases of the standard edition only.', 'database.database_edition');
}

const MULTI_REGIONS: ReadonlySet<string> = new Set(['eur3', 'nam5', 'nam7']);

/** The fields that an update is about. */
function fieldsOf(mask: string, asked: JsonObject): readonly string[] {
  if (mask === '' || mask === '*') return UPDATABLE.filter((field) => asked[field] !== undefined);
  // gcloud names the name too, which changes nothing.
  const fields = mask.split(',').filter((field) => field !== 'name');
  const fixed = fields.find((field) => !UPDATABLE.includes(field));
  if (fixed !== undefined) throw invalid(`Field ${fixed} of a database cannot be updated.`, 'update_mask');
  if (fields.includes('type') && !isSaid(asked.type))
    throw invalid('A database needs a type.', 'database.type');
  return fields;
}

function checkEtag(database: Database, etag: unknown): void {
  if (etag === undefined || etag === '' || etag === database.etag) return;
  throw new GoogleError('FAILED_PRECONDITION', `Database ${database.name} is not the one of that etag.`);
}

/** Those of the fields that say something. */
function pick(json: JsonObject, fields: readonly string[]): JsonObject {
  return Object.fromEntries(
    fields.filter((field) => isSaid(json[field])).map((field) => [field, json[field]]),
  );
}

/** An enum's value that is not its `…_UNSPECIFIED`. */
function isSaid(value: unknown): boolean {
  return value !== undefined && !String(value).endsWith('_UNSPECIFIED');
}

function exists(name: string): GoogleError {
  return new GoogleError('ALREADY_EXISTS', `Database already exists: ${name}`);
}
