/** The three calls on the policy of a resource, the same in every API: https://cloud.google.com/iam/docs/reference/rest/v1/Policy */
import type { LocalCloud } from './cloud.ts';
import type { Binding, Policy } from './iam.ts';
import { isObject, type Json, type JsonObject } from './json.ts';
import type { HttpRule, Method } from './service.ts';

export interface PolicyMethodOptions {
  /** What the permissions begin with: `iam.serviceAccounts` gives `iam.serviceAccounts.getIamPolicy`. */
  readonly permissions: string;
  /** The canonical name of the resource that the request names. */
  nameOf(resource: string): string;
  /** Throws when there is no such resource. */
  demand?(resource: string): void;
  /** Throws for a policy that this kind of resource does not take. */
  check?(bindings: readonly Binding[]): void;
  /** Paths beside those of the proto, up to the verb: `/v1/{resource=projects/*}`. */
  readonly paths?: readonly string[];
}

export function policyMethods(
  cloud: LocalCloud,
  options: PolicyMethodOptions,
): Readonly<Record<'GetIamPolicy' | 'SetIamPolicy' | 'TestIamPermissions', Method>> {
  const nameOf = (request: JsonObject): string => options.nameOf(String(request.resource));
  const http = (verb: string): readonly HttpRule[] =>
    (options.paths ?? []).map((path) => ({ post: `${path}:${verb}`, body: '*' }));
  return {
    GetIamPolicy: {
      access: (request) => ({
        permission: `${options.permissions}.getIamPolicy`,
        resource: nameOf(request),
      }),
      handle(request) {
        options.demand?.(nameOf(request));
        const asked = isObject(request.options) ? Number(request.options.requestedPolicyVersion ?? 1) : 1;
        return writePolicy(cloud.iam.policy(nameOf(request), asked));
      },
      http: http('getIamPolicy'),
    },
    SetIamPolicy: {
      access: (request) => ({
        permission: `${options.permissions}.setIamPolicy`,
        resource: nameOf(request),
      }),
      handle(request) {
        options.demand?.(nameOf(request));
        const policy = readPolicy(request.policy);
        options.check?.(policy.bindings);
        return writePolicy(cloud.iam.setPolicy(nameOf(request), policy));
      },
      http: http('setIamPolicy'),
    },
    TestIamPermissions: {
      access: (request) => ({ permission: undefined, resource: nameOf(request) }),
      handle: (request, { identity }) => ({
        permissions: cloud.iam.test(identity, texts(request.permissions), nameOf(request)),
      }),
      http: http('testIamPermissions'),
    },
  };
}

function writePolicy(policy: Policy): JsonObject {
  const bindings = policy.bindings.map((binding) => ({ ...binding, members: [...binding.members] }));
  return { version: policy.version, bindings, etag: policy.etag };
}

function readPolicy(json: Json | undefined): { bindings: Binding[]; etag: string; version: number } {
  const policy = isObject(json) ? json : {};
  const bindings = Array.isArray(policy.bindings) ? policy.bindings.filter(isObject) : [];
  return {
    version: Number(policy.version ?? 0),
    etag: String(policy.etag ?? ''),
    bindings: bindings.map(({ role, members, condition }) => ({
      role: String(role ?? ''),
      members: texts(members),
      ...(isObject(condition) ? { condition } : {}),
    })),
  };
}

function texts(json: Json | undefined): string[] {
  return Array.isArray(json) ? json.map(String) : [];
}
