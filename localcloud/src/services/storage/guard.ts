/** Asks IAM, in the order that Google does: a bucket that does not exist is 404 to everybody, then come permissions. */
import type { LocalCloud } from '../../cloud.ts';
import type { Call } from '../../service.ts';
import type { Bucket, Buckets } from './buckets.ts';
import { demandFound, type ObjectStore } from './objects.ts';
import { badRequest, forbidden, missingParameter } from './refusals.ts';
import type { ObjectVersion } from './versions.ts';

export interface Guard {
  /** The id of a project named by id or number, once the caller may do that in it. */
  project(call: Call, idOrNumber: string | null | undefined, permission: string): string;
  bucket(call: Call, bucket: string, permission: string): Bucket;
  object(call: Call, bucket: string, name: string, permission: string): void;
  /** The live version, or that generation, once the caller may do that to it. One that is missing is 404 only to those who may list. */
  version(
    call: Call,
    where: { bucket: string; name: string; generation?: string | undefined },
    permission: string,
  ): ObjectVersion;
  /** What a new object takes: to create it, and to delete the one that it replaces. */
  write(call: Call, bucket: string, name: string): void;
}

export function openGuard(cloud: LocalCloud, buckets: Buckets, objects: ObjectStore): Guard {
  function may(call: Call, permission: string, resource: string): boolean {
    return cloud.iam.test(call.identity, [permission], resource).length > 0;
  }

  function demand(call: Call, permission: string, resource: string): void {
    if (may(call, permission, resource)) return;
    const what = resource.startsWith('projects/') ? 'project' : 'bucket';
    throw forbidden(call.identity.email, permission, resource.includes('/objects/') ? 'object' : what);
  }

  function object(call: Call, bucket: string, name: string, permission: string): void {
    buckets.get(bucket);
    demand(call, permission, `buckets/${bucket}/objects/${name}`);
  }

  return {
    object,
    project(call, idOrNumber, permission) {
      if (!idOrNumber) throw missingParameter('project');
      const project = cloud.projects.find(idOrNumber);
      if (!project) throw badRequest(`Unknown project id: ${idOrNumber}`);
      demand(call, permission, `projects/${project.projectId}`);
      return project.projectId;
    },
    bucket(call, bucket, permission) {
      const found = buckets.get(bucket);
      demand(call, permission, `buckets/${bucket}`);
      return found;
    },
    version(call, { bucket, name, generation }, permission) {
      object(call, bucket, name, permission);
      const found = objects.find(bucket, name, generation);
      if (!found) demand(call, 'storage.objects.list', `buckets/${bucket}`);
      return demandFound(found, bucket, name, generation);
    },
    write(call, bucket, name) {
      object(call, bucket, name, 'storage.objects.create');
      if (objects.find(bucket, name)) object(call, bucket, name, 'storage.objects.delete');
    },
  };
}
