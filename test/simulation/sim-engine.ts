/**
 * The product's engine over the simulated cloud: `engineOf` decides, the kinds here reach.
 *
 *   const engine = simEngine(cloud.client(process));
 *
 * Units are of any kind; how it behaves is in `sim-kinds.ts`. The path of a thing is its kind and the name in its spec,
 * as in the id of its unit, and all other fields of the spec are compared. `grants/<path>` has the path of the thing
 * that it is about for its name, and carries `spec.bindings`. Outputs of a thing: `path`, `uid` (new when it is made
 * anew), `uri`, `email`.
 */
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import { CloudError, found } from '@service-director/shared/cloud/error.ts';
import { settle } from '@service-director/shared/engine/effective.ts';
import type { Engine } from '@service-director/shared/engine/engine.ts';
import { type EngineKind, engineOf } from '@service-director/shared/engine/native.ts';
import { type Change, compare, NONE } from '@service-director/shared/model/change.ts';
import { bindingsOf } from '@service-director/shared/model/state.ts';
import { type Outputs, type Owner, type UnitSpec, unitId } from '@service-director/shared/model/unit.ts';
import type { Pending, Resource } from '@service-director/shared/resources/kind.ts';
import {
  type Binding,
  bindingName,
  type CloudClient,
  type Fields,
  type Policy,
  type Thing,
} from './sim-cloud.ts';
import { type Traits, traitsOf } from './sim-kinds.ts';

export function simEngine(client: CloudClient): Engine {
  return engineOf({
    kindOf: (kind) => (kind === 'grants' ? grantsIn(client) : thingsOf(kind, client)),
    async awaitEffective(spec, context) {
      const path = spec.name;
      for (const binding of bindingsOf({ spec })) {
        const what = `${bindingName(binding)} on ${path} to take effect`;
        await settle({ what, ask: () => client.test(path, binding) }, context);
      }
      return true;
    },
  });
}

/** What all resources of a kind say of themselves. */
function commonOf(kind: string): Pick<Resource, 'api' | 'takes' | 'holdsData'> {
  const { seconds, holdsData = false } = traitsOf(kind);
  return {
    api: `${kind}.simulated`,
    takes: { create: seconds, update: seconds, remove: seconds },
    holdsData,
  };
}

function thingsOf(kind: string, client: CloudClient): EngineKind {
  const traits = traitsOf(kind);
  const common = commonOf(kind);
  return {
    takes: common.takes,
    stays: traits.stays,
    bind(input, owner) {
      const { name, ...spec } = specOf(input);
      const path = unitId(kind, name);
      return {
        ...common,
        path,
        async observe() {
          const thing = await client.get(path);
          if (!thing) return undefined;
          const { etag } = thing;
          return {
            owner: thing.owner,
            busy: thing.busy,
            gone: false,
            outputs: outputsOf(thing),
            change: changeOf(spec, thing.spec, traits),
            update: async (names) => pending(await client.update({ path, etag, fields: only(spec, names) })),
            remove: async () => pending(await client.remove({ path, etag })),
          };
        },
        create: async () => pending(await client.create({ path, kind, owner, spec })),
        async poll(operation) {
          const stands = await client.operation(operation);
          return typeof stands === 'string' ? stands : CloudError.from(stands.failed);
        },
      };
    },
  };
}

/** As it was when the unit was made: the simulation makes no other. */
function specOf(input: unknown): UnitSpec {
  return input as UnitSpec;
}

function changeOf(wanted: Fields, live: Fields, { immutable = [] }: Traits): Change {
  const change = compare(
    Object.fromEntries(Object.keys(wanted).map((key) => [key, [wanted[key], live[key]]])),
  );
  const fixed = change.action === 'update' && change.fields.find((field) => immutable.includes(field));
  return fixed ? { action: 'replace', because: `${fixed} cannot be changed` } : change;
}

function only(fields: Fields, names: readonly string[]): Fields {
  return Object.fromEntries(names.map((name) => [name, fields[name]]));
}

function outputsOf({ path, uid }: Thing): Outputs {
  const name = path.slice(path.indexOf('/') + 1);
  return { path, uid, uri: `https://${name}.simulated`, email: `${name}@simulated` };
}

function pending(operation: string | undefined): Pending {
  return operation === undefined ? undefined : { operation };
}

/** The grants on one thing: members that are not ours are kept, what we gave and no longer want is taken back. */
function grantsIn(client: CloudClient): EngineKind {
  const common = commonOf('grants');
  return {
    takes: common.takes,
    stays: undefined,
    bind(input, _owner, _scope, prior) {
      const spec = specOf(input);
      return { ...common, ...grantsOn(spec, prior === undefined ? undefined : specOf(prior), client) };
    },
  };
}

function grantsOn(
  spec: UnitSpec,
  prior: UnitSpec | undefined,
  client: CloudClient,
): Pick<Resource, 'path' | 'observe' | 'create' | 'poll'> {
  const path = spec.name;
  const wanted = new Map(bindingsOf({ spec }).map((binding) => [bindingName(binding), binding]));
  const stale = new Set(
    (prior ? bindingsOf({ spec: prior }) : []).map(bindingName).filter((name) => !wanted.has(name)),
  );
  const write = async (policy: Policy, bindings: readonly Binding[]): Promise<Pending> => {
    await client.grant(path, { ...policy, bindings });
    return undefined;
  };
  return {
    path,
    async observe() {
      const policy = await found(client.policy(path));
      if (!policy) return undefined;
      const held = new Set(policy.bindings.map(bindingName));
      const missing = [...wanted.keys()].filter((name) => !held.has(name));
      const extra = [...stale].filter((name) => held.has(name)).map((name) => `-${name}`);
      const fields = [...missing, ...extra];
      const others = policy.bindings.filter((binding) => !wanted.has(bindingName(binding)));
      return {
        owner: 'unmarked' satisfies Owner | 'foreign' | 'unmarked',
        busy: undefined,
        gone: missing.length === wanted.size,
        outputs: {},
        change: fields.length === 0 ? NONE : { action: 'update', fields },
        update: () =>
          write(policy, [...others.filter((one) => !stale.has(bindingName(one))), ...wanted.values()]),
        remove: () => write(policy, others),
      };
    },
    create: async () => {
      throw new CloudError('refused', `there is no ${path} to grant anything on`);
    },
    poll: async () => {
      throw new CloudError('internal', 'grants have no operations');
    },
  };
}

/** Stands in an engine's context, where a cloud of Google's clients would; every use of it throws. */
export function noCloud(project: string): Cloud {
  const none = (): never => {
    throw new Error('A simulated director asked for a real cloud');
  };
  return {
    project,
    artifacts: none,
    builds: none,
    iam: none,
    logging: none,
    projects: none,
    pubsub: none,
    run: none,
    storage: none,
    usage: none,
    firestore: none,
    kms: none,
    idToken: none,
    as: none,
  };
}
