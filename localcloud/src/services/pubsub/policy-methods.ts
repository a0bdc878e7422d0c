/** `google.iam.v1.IAMPolicy` for topics, subscriptions and snapshots. */
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError } from '../../error.ts';
import type { JsonObject } from '../../json.ts';
import { policyMethods } from '../../policy-methods.ts';
import type { HttpRule, Method } from '../../service.ts';
import type { Broker } from './broker.ts';
import { type Collection, missing, readName } from './names.ts';
import type { Snapshots } from './snapshots.ts';

type Verb = 'GetIamPolicy' | 'SetIamPolicy' | 'TestIamPermissions';

export function resourcePolicyMethods(
  cloud: LocalCloud,
  broker: Broker,
  snapshots: Snapshots,
): Record<Verb, Method> {
  const isThere = (name: string): boolean =>
    (broker.findTopic(name) ?? broker.findSubscription(name) ?? snapshots.find(name)) !== undefined;
  const methodsOf = (collection: Collection): Record<Verb, Method> =>
    policyMethods(cloud, {
      permissions: `pubsub.${collection}`,
      nameOf: (resource) => readName(cloud.projects, collection, resource, 'resource'),
      demand(name) {
        if (!isThere(name)) throw missing(name);
      },
    });
  const byCollection = {
    topics: methodsOf('topics'),
    subscriptions: methodsOf('subscriptions'),
    snapshots: methodsOf('snapshots'),
  };
  const method = (verb: Verb): Method => ({
    access: (request) => byCollection[collectionOf(request)][verb].access(request),
    handle: (request, call) => byCollection[collectionOf(request)][verb].handle(request, call),
  });

  return {
    GetIamPolicy: {
      ...method('GetIamPolicy'),
      http: COLLECTIONS.map(
        (collection): HttpRule => ({ get: `/v1/{resource=projects/*/${collection}/*}:getIamPolicy` }),
      ),
    },
    SetIamPolicy: method('SetIamPolicy'),
    TestIamPermissions: {
      ...method('TestIamPermissions'),
      handle(request, call) {
        const name = readName(cloud.projects, collectionOf(request), request.resource, 'resource');
        if (!isThere(name)) return { permissions: [] };
        return method('TestIamPermissions').handle(request, call);
      },
    },
  };
}

const COLLECTIONS: readonly Collection[] = ['topics', 'subscriptions', 'snapshots'];

/** The proto binds these methods to the resources of every API; here they serve Pub/Sub's. */
function collectionOf({ resource }: JsonObject): Collection {
  const [, , found] = String(resource).split('/');
  const collection = COLLECTIONS.find((name) => name === found);
  if (collection) return collection;
  throw new GoogleError(
    'NOT_FOUND',
    `The requested URL /v1/${String(resource)} was not found on this server.`,
  );
}
