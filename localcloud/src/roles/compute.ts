/** The roles of Cloud Run, Cloud Build and Artifact Registry. */
import { permissions, role, SEE_PROJECT, SEE_PROJECTS } from './notation.ts';

export const VIEW_RUN = permissions('run', {
  configurations: 'get list',
  executions: 'get list',
  jobs: 'get getIamPolicy list',
  locations: 'list',
  operations: 'get list',
  revisions: 'get list',
  routes: 'get list',
  services: 'get getIamPolicy list',
  tasks: 'get list',
  workerpools: 'get getIamPolicy list',
});
export const EDIT_RUN = permissions('run', {
  executions: 'cancel delete',
  jobs: 'create delete run runWithOverrides update',
  operations: 'delete',
  revisions: 'delete',
  routes: 'invoke',
  services: 'create delete update',
  workerpools: 'create delete update',
});

const SEE_ARTIFACTS = permissions('artifactregistry', {
  attachments: 'get list',
  dockerimages: 'get list',
  files: 'download get list',
  locations: 'get list',
  packages: 'get list',
  projectsettings: 'get',
  repositories: 'downloadArtifacts exportArtifacts get list readViaVirtualRepository',
  rules: 'get list',
  tags: 'get list',
  versions: 'get list',
});
const PUSH = permissions('artifactregistry', {
  attachments: 'create delete',
  files: 'update upload',
  packages: 'update',
  repositories: 'uploadArtifacts',
  tags: 'create update',
});
const CLEAN = permissions('artifactregistry', {
  files: 'delete',
  packages: 'delete',
  repositories: 'deleteArtifacts',
  rules: 'create delete update',
  tags: 'delete',
  versions: 'delete update',
});
const CREATE_ON_PUSH = permissions('artifactregistry', { repositories: 'createOnPush' });
const EDIT_REPOSITORIES = permissions('artifactregistry', {
  projectsettings: 'update',
  repositories: 'create delete getIamPolicy update',
});
export const VIEW_ARTIFACTS = [
  ...SEE_ARTIFACTS,
  ...permissions('artifactregistry', { repositories: 'getIamPolicy' }),
];
export const EDIT_ARTIFACTS = [...PUSH, ...CLEAN, ...CREATE_ON_PUSH, ...EDIT_REPOSITORIES];

export const VIEW_BUILDS = permissions('cloudbuild', {
  builds: 'get list',
  locations: 'get list',
  operations: 'get list',
});
export const EDIT_BUILDS = permissions('cloudbuild', { builds: 'create update' });
const BUILD = [
  ...VIEW_BUILDS,
  ...EDIT_BUILDS,
  ...permissions('cloudbuild', { workerpools: 'use' }),
  ...SEE_ARTIFACTS,
  ...PUSH,
  ...CREATE_ON_PUSH,
  ...permissions('logging', { logEntries: 'create list', views: 'access' }),
  ...permissions('pubsub', { topics: 'create publish' }),
  ...permissions('storage', { buckets: 'create get list', objects: 'create delete get list update' }),
  ...SEE_PROJECTS,
];
export const COMPUTE = [
  role(
    'run.admin',
    'Cloud Run Admin',
    VIEW_RUN,
    EDIT_RUN,
    permissions('run', { jobs: 'setIamPolicy', services: 'setIamPolicy', workerpools: 'setIamPolicy' }),
    SEE_PROJECTS,
  ),
  role('run.developer', 'Cloud Run Developer', VIEW_RUN, EDIT_RUN, SEE_PROJECTS),
  role('run.viewer', 'Cloud Run Viewer', VIEW_RUN, SEE_PROJECTS),
  role('run.invoker', 'Cloud Run Invoker', permissions('run', { jobs: 'run', routes: 'invoke' })),
  role('run.servicesInvoker', 'Cloud Run Service Invoker', permissions('run', { routes: 'invoke' })),
  role(
    'run.serviceAgent',
    'Cloud Run Service Agent',
    SEE_ARTIFACTS,
    permissions('artifactregistry', { repositories: 'uploadArtifacts' }),
    permissions('cloudbuild', { builds: 'create get' }),
    permissions('iam', { serviceAccounts: 'actAs getAccessToken getOpenIdToken signBlob' }),
    permissions('resourcemanager', { projects: 'getIamPolicy' }),
    permissions('run', { routes: 'invoke' }),
    permissions('serviceusage', { services: 'get use' }),
    permissions('storage', {
      buckets: 'create get update',
      folders: 'get list',
      managedFolders: 'get list',
      objects: 'create delete get list update',
    }),
    SEE_PROJECTS,
  ),
  role(
    'run.builder',
    'Cloud Run Builder',
    permissions('artifactregistry', { repositories: 'deleteArtifacts downloadArtifacts uploadArtifacts' }),
    permissions('logging', { logEntries: 'create' }),
    permissions('storage', { objects: 'get' }),
  ),
  role(
    'artifactregistry.admin',
    'Artifact Registry Administrator',
    SEE_ARTIFACTS,
    PUSH,
    CLEAN,
    EDIT_REPOSITORIES,
    permissions('artifactregistry', { repositories: 'setIamPolicy' }),
    SEE_PROJECT,
  ),
  role(
    'artifactregistry.repoAdmin',
    'Artifact Registry Repository Administrator',
    SEE_ARTIFACTS,
    PUSH,
    CLEAN,
    SEE_PROJECT,
  ),
  role('artifactregistry.writer', 'Artifact Registry Writer', SEE_ARTIFACTS, PUSH, SEE_PROJECT),
  role(
    'artifactregistry.createOnPushWriter',
    'Artifact Registry Create-on-Push Writer',
    SEE_ARTIFACTS,
    PUSH,
    CREATE_ON_PUSH,
    SEE_PROJECT,
  ),
  role('artifactregistry.reader', 'Artifact Registry Reader', SEE_ARTIFACTS, SEE_PROJECT),
  role(
    'artifactregistry.serviceAgent',
    'Artifact Registry Service Agent',
    permissions('artifactregistry', {
      repositories: 'downloadArtifacts get readViaVirtualRepository',
      versions: 'delete',
    }),
    permissions('pubsub', { topics: 'publish' }),
  ),
  role('cloudbuild.builds.editor', 'Cloud Build Editor', VIEW_BUILDS, EDIT_BUILDS, SEE_PROJECTS),
  role('cloudbuild.builds.viewer', 'Cloud Build Viewer', VIEW_BUILDS, SEE_PROJECTS),
  role(
    'cloudbuild.builds.builder',
    'Cloud Build Service Account',
    BUILD,
    permissions('artifactregistry', { repositories: 'deleteArtifacts' }),
  ),
  role(
    'cloudbuild.serviceAgent',
    'Cloud Build Service Agent',
    BUILD,
    permissions('artifactregistry', { repositories: 'deleteArtifacts' }),
    permissions('iam', { serviceAccounts: 'get getAccessToken getOpenIdToken' }),
    permissions('logging', { buckets: 'create get list' }),
    permissions('pubsub', {
      subscriptions: 'create delete get update',
      topics: 'attachSubscription get',
    }),
    permissions('serviceusage', { services: 'use' }),
  ),
];
