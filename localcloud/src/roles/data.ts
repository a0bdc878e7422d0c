/** The roles of BigQuery, Firestore (whose permissions are called Datastore's) and Secret Manager. */
import { permissions, role, SEE_PROJECTS } from './notation.ts';

const SEE_METADATA = permissions('bigquery', {
  datasets: 'get getIamPolicy',
  models: 'getMetadata list',
  routines: 'get list',
  tables: 'get getIamPolicy list',
});
const READ_DATA = permissions('bigquery', {
  models: 'export getData',
  tables: 'createSnapshot export getData replicateData',
});
const WRITE_DATA = permissions('bigquery', {
  config: 'get',
  datasets: 'create updateTag',
  models: 'create delete updateData updateMetadata updateTag',
  routines: 'create delete update updateTag',
  tables: 'create createIndex delete deleteIndex restoreSnapshot update updateData updateIndex updateTag',
});
const OWN_DATA = permissions('bigquery', {
  datasets: 'delete link listSharedDatasetUsage setIamPolicy update',
  rowAccessPolicies: 'create delete getIamPolicy list setIamPolicy update',
  tables: 'deleteSnapshot setCategory setIamPolicy',
});
const RUN_JOBS = permissions('bigquery', { config: 'get', jobs: 'create' });
const READ_SESSIONS = permissions('bigquery', { readsessions: 'create getData update' });

const VIEW_ENTITIES = permissions('datastore', {
  databases: 'get getMetadata list',
  entities: 'get list',
  namespaces: 'get list',
  statistics: 'get list',
});
const WRITE_ENTITIES = permissions('datastore', { entities: 'allocateIds create delete update' });
const VIEW_SCHEMAS = permissions('datastore', { schemas: 'get list' });
const EDIT_SCHEMAS = permissions('datastore', { schemas: 'create delete update' });
const OWN_DATABASES = permissions('datastore', {
  backupSchedules: 'create delete get list update',
  backups: 'delete get list restoreDatabase',
  databases: 'bulkDelete clone create delete export import update',
  locations: 'get list',
  operations: 'cancel delete get list',
});

const SEE_SECRETS = permissions('secretmanager', {
  locations: 'get list',
  secrets: 'get getIamPolicy list',
  versions: 'get list',
});
const ADD_VERSIONS = permissions('secretmanager', { versions: 'add' });
const KEEP_VERSIONS = permissions('secretmanager', { versions: 'destroy disable enable' });
const EDIT_SECRETS = permissions('secretmanager', { secrets: 'create delete update' });
const ACCESS = permissions('secretmanager', { versions: 'access' });

export const DATA = [
  role(
    'bigquery.admin',
    'BigQuery Admin',
    SEE_METADATA,
    READ_DATA,
    WRITE_DATA,
    OWN_DATA,
    RUN_JOBS,
    READ_SESSIONS,
    permissions('bigquery', {
      config: 'update',
      jobs: 'createGlobalQuery delete get list listAll listExecutionMetadata update',
    }),
    SEE_PROJECTS,
  ),
  role(
    'bigquery.dataOwner',
    'BigQuery Data Owner',
    SEE_METADATA,
    READ_DATA,
    WRITE_DATA,
    OWN_DATA,
    SEE_PROJECTS,
  ),
  role('bigquery.dataEditor', 'BigQuery Data Editor', SEE_METADATA, READ_DATA, WRITE_DATA, SEE_PROJECTS),
  role('bigquery.dataViewer', 'BigQuery Data Viewer', SEE_METADATA, READ_DATA, SEE_PROJECTS),
  role('bigquery.metadataViewer', 'BigQuery Metadata Viewer', SEE_METADATA, SEE_PROJECTS),
  role(
    'bigquery.user',
    'BigQuery User',
    RUN_JOBS,
    READ_SESSIONS,
    permissions('bigquery', {
      datasets: 'create get getIamPolicy',
      jobs: 'list',
      models: 'list',
      routines: 'list',
      tables: 'list',
    }),
    SEE_PROJECTS,
  ),
  role('bigquery.jobUser', 'BigQuery Job User', RUN_JOBS, SEE_PROJECTS),
  role(
    'datastore.owner',
    'Cloud Datastore Owner',
    VIEW_ENTITIES,
    WRITE_ENTITIES,
    VIEW_SCHEMAS,
    EDIT_SCHEMAS,
    OWN_DATABASES,
    SEE_PROJECTS,
  ),
  role(
    'datastore.user',
    'Cloud Datastore User',
    VIEW_ENTITIES,
    WRITE_ENTITIES,
    permissions('datastore', { schemas: 'list' }),
    SEE_PROJECTS,
  ),
  role('datastore.viewer', 'Cloud Datastore Viewer', VIEW_ENTITIES, VIEW_SCHEMAS, SEE_PROJECTS),
  role(
    'datastore.indexAdmin',
    'Cloud Datastore Index Admin',
    VIEW_SCHEMAS,
    EDIT_SCHEMAS,
    permissions('datastore', { databases: 'getMetadata', operations: 'get list' }),
    SEE_PROJECTS,
  ),
  role(
    'secretmanager.admin',
    'Secret Manager Admin',
    SEE_SECRETS,
    ADD_VERSIONS,
    KEEP_VERSIONS,
    EDIT_SECRETS,
    ACCESS,
    permissions('secretmanager', { secrets: 'setIamPolicy' }),
    SEE_PROJECTS,
  ),
  role('secretmanager.viewer', 'Secret Manager Viewer', SEE_SECRETS, SEE_PROJECTS),
  role('secretmanager.secretAccessor', 'Secret Manager Secret Accessor', ACCESS, SEE_PROJECTS),
  role('secretmanager.secretVersionAdder', 'Secret Manager Secret Version Adder', ADD_VERSIONS, SEE_PROJECTS),
  role(
    'secretmanager.secretVersionManager',
    'Secret Manager Secret Version Manager',
    ADD_VERSIONS,
    KEEP_VERSIONS,
    permissions('secretmanager', { versions: 'get list' }),
    SEE_PROJECTS,
  ),
];

/** What the basic roles hold here: of BigQuery and Firestore the data too, of secrets all but their payload. */
export const VIEW_DATA = [...SEE_METADATA, ...VIEW_ENTITIES, ...VIEW_SCHEMAS, ...SEE_SECRETS];
export const EDIT_DATA = [
  ...RUN_JOBS,
  ...READ_SESSIONS,
  ...READ_DATA,
  ...WRITE_DATA,
  ...permissions('bigquery', { datasets: 'delete update' }),
  ...WRITE_ENTITIES,
  ...EDIT_SCHEMAS,
  ...permissions('datastore', {
    backupSchedules: 'create delete get list update',
    backups: 'delete get list',
    databases: 'update',
    operations: 'get list',
  }),
  ...ADD_VERSIONS,
  ...KEEP_VERSIONS,
  ...EDIT_SECRETS,
];
