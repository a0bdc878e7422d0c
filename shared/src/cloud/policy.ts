/** The IAM policies of resources: one form for what each API offers in its own. */
import type { Cloud } from './cloud.ts';
import { CloudError } from './error.ts';

export interface Policy {
  readonly bindings?: readonly PolicyBinding[] | null;
  readonly etag?: string | null;
  readonly version?: number | null;
}

export interface PolicyBinding {
  readonly role?: string | null;
  readonly members?: readonly string[] | null;
  readonly condition?: object | null;
}

export interface PolicyAccess {
  read(): Promise<Policy>;
  /** Fails with 'conflict' when the policy carries an etag and somebody wrote in between. */
  write(policy: Policy): Promise<void>;
  /** Those of the permissions that the caller has, in effect. */
  test(permissions: readonly string[]): Promise<readonly string[]>;
}

/** Conditions are read and written back as they are; without version 3 they would be lost. */
const VERSION = 3;

/** The policy of `projects/p`, `projects/p/topics/t`, `buckets/b` and the like. */
export function policyOf(path: string, cloud: Cloud): PolicyAccess {
  const collection = path.split('/').at(-2) ?? '';
  switch (collection) {
    case 'topics':
    case 'subscriptions':
      return access(path, async () => (await cloud.pubsub()).projects[collection]);
    case 'serviceAccounts':
      return access(path, async () => (await cloud.iam()).projects.serviceAccounts);
    case 'services':
      return access(path, async () => (await cloud.run()).projects.locations.services);
    case 'repositories':
      return access(path, async () => (await cloud.artifacts()).projects.locations.repositories);
    case 'projects':
      return projectAccess(path, cloud);
    case 'buckets':
      return bucketAccess(path.replace(/^buckets\//, ''), cloud);
    default:
      throw new CloudError('internal', `${path} has no policy that we know of`);
  }
}

/** What most APIs have in common. */
interface PolicyMethods {
  getIamPolicy(params: {
    resource: string;
    'options.requestedPolicyVersion': number;
  }): Promise<{ data: object }>;
  setIamPolicy(params: { resource: string; requestBody: { policy: object } }): Promise<unknown>;
  testIamPermissions(params: {
    resource: string;
    requestBody: { permissions: string[] };
  }): Promise<{ data: { permissions?: string[] | null } }>;
}

function access(resource: string, methods: () => Promise<PolicyMethods>): PolicyAccess {
  return {
    async read() {
      return (await (await methods()).getIamPolicy({ resource, 'options.requestedPolicyVersion': VERSION }))
        .data;
    },
    async write(policy) {
      await (await methods()).setIamPolicy({
        resource,
        requestBody: { policy: { ...policy, version: VERSION } },
      });
    },
    async test(permissions) {
      const requestBody = { permissions: [...permissions] };
      return (await (await methods()).testIamPermissions({ resource, requestBody })).data.permissions ?? [];
    },
  };
}

function projectAccess(resource: string, cloud: Cloud): PolicyAccess {
  return {
    ...access(resource, async () => (await cloud.projects()).projects as PolicyMethods),
    async read() {
      const requestBody = { options: { requestedPolicyVersion: VERSION } };
      return (await (await cloud.projects()).projects.getIamPolicy({ resource, requestBody })).data as Policy;
    },
  };
}

function bucketAccess(bucket: string, cloud: Cloud): PolicyAccess {
  return {
    async read() {
      const { buckets } = await cloud.storage();
      return (await buckets.getIamPolicy({ bucket, optionsRequestedPolicyVersion: VERSION })).data as Policy;
    },
    async write(policy) {
      const { buckets } = await cloud.storage();
      await buckets.setIamPolicy({ bucket, requestBody: { ...policy, version: VERSION } as object });
    },
    async test(permissions) {
      const { buckets } = await cloud.storage();
      return (
        (await buckets.testIamPermissions({ bucket, permissions: [...permissions] })).data.permissions ?? []
      );
    },
  };
}
