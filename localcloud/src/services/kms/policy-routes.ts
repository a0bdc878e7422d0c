/** The policy of a key, on REST. The proto service that has these calls on gRPC is Pub/Sub's here. */
import type { LocalCloud } from '../../cloud.ts';
import { isObject, type JsonObject } from '../../json.ts';
import { policyMethods } from '../../policy-methods.ts';
import { readJson } from '../../rest.ts';
import type { Route } from '../../service.ts';
import type { Keys } from './keys.ts';
import { canonical } from './names.ts';

const KEY = '/v1/{resource=projects/*/locations/*/keyRings/*/cryptoKeys/*}';

export function policyRoutes(cloud: LocalCloud, keys: Keys): readonly Route[] {
  const methods = policyMethods(cloud, {
    permissions: 'cloudkms.cryptoKeys',
    nameOf: (resource) => canonical(cloud.projects, resource),
    demand: (resource) => void keys.get(resource),
  });

  const route = (verb: keyof typeof methods, method: 'GET' | 'POST'): Route => {
    const call = `${verb.charAt(0).toLowerCase()}${verb.slice(1)}`;
    return {
      name: verb,
      method,
      path: `${KEY}:${call}`,
      access: ({ params }) => methods[verb].access({ ...params }),
      async handle({ params, query, raw }, _response, context) {
        const json = method === 'POST' ? await readJson(raw) : undefined;
        const request: JsonObject = { ...(isObject(json) ? json : {}), ...params };
        const version = query.get('options.requestedPolicyVersion');
        if (version !== null) request.options = { requestedPolicyVersion: Number(version) };
        return { status: 200, body: withoutEmpty(await methods[verb].handle(request, context)) };
      },
    };
  };
  return [route('GetIamPolicy', 'GET'), route('SetIamPolicy', 'POST'), route('TestIamPermissions', 'POST')];
}

/** Lists of nothing are left out, as they are of messages. */
function withoutEmpty(json: JsonObject): JsonObject {
  const entries = Object.entries(json).filter(([, value]) => !Array.isArray(value) || value.length > 0);
  return Object.fromEntries(entries);
}
