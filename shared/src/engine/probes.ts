/** For each role a permission that tells whether it is in effect: held by this role and by few others. */
import { CloudError } from '../cloud/error.ts';
import type { EngineContext } from './engine.ts';

const PROBES: Readonly<Record<string, string>> = {
  'roles/artifactregistry.reader': 'artifactregistry.repositories.downloadArtifacts',
  'roles/artifactregistry.writer': 'artifactregistry.repositories.uploadArtifacts',
  'roles/browser': 'resourcemanager.projects.get',
  'roles/datastore.user': 'datastore.entities.create',
  'roles/iam.serviceAccountAdmin': 'iam.serviceAccounts.create',
  'roles/iam.serviceAccountTokenCreator': 'iam.serviceAccounts.getAccessToken',
  'roles/iam.serviceAccountUser': 'iam.serviceAccounts.actAs',
  'roles/logging.logWriter': 'logging.logEntries.create',
  'roles/pubsub.admin': 'pubsub.topics.setIamPolicy',
  'roles/pubsub.editor': 'pubsub.topics.update',
  'roles/pubsub.publisher': 'pubsub.topics.publish',
  'roles/pubsub.subscriber': 'pubsub.subscriptions.consume',
  'roles/run.admin': 'run.services.setIamPolicy',
  'roles/run.invoker': 'run.routes.invoke',
  'roles/storage.admin': 'storage.buckets.create',
  'roles/storage.objectAdmin': 'storage.objects.delete',
  'roles/storage.objectCreator': 'storage.objects.create',
  'roles/storage.objectViewer': 'storage.objects.get',
};

/** What the first word of a permission on this resource must be. */
const COLLECTIONS: Readonly<Record<string, string>> = {
  topics: 'pubsub.topics.',
  subscriptions: 'pubsub.subscriptions.',
  buckets: 'storage.',
  serviceAccounts: 'iam.serviceAccounts.',
  services: 'run.',
  repositories: 'artifactregistry.',
};

/** The permissions to ask for on the resource; roles that hold none there are left out. */
export async function probesOf(
  roles: readonly string[],
  on: string,
  context: EngineContext,
): Promise<string[]> {
  const collection = on.split('/').at(-2) ?? '';
  const probes = await Promise.all(roles.map((role) => probeOf(role, collection, context)));
  return [...new Set(probes.flatMap((probe) => probe ?? []))];
}

async function probeOf(
  role: string,
  collection: string,
  context: EngineContext,
): Promise<string | undefined> {
  const prefix = COLLECTIONS[collection] ?? '';
  const fits = (permission: string): boolean =>
    permission.startsWith(prefix) && !permission.endsWith('.list');
  if (role === 'roles/pubsub.viewer') return `${prefix || 'pubsub.topics.'}get`;
  const known = PROBES[role];
  if (known !== undefined) return fits(known) ? known : undefined;
  const permissions = await context
    .limit('iam.googleapis.com', () => permissionsOf(role, context))
    .catch((error) => {
      // Whoever may not read roles can still deploy; the stored policy must do then.
      if (CloudError.from(error).reason === 'denied') return [];
      throw error;
    });
  return permissions.find(fits);
}

async function permissionsOf(role: string, { cloud }: EngineContext): Promise<readonly string[]> {
  const iam = await cloud.iam();
  const { data } = role.startsWith('projects/')
    ? await iam.projects.roles.get({ name: role })
    : await iam.roles.get({ name: role });
  return data.includedPermissions ?? [];
}
