/** What a kind of resource must say about itself. One file in this folder each; none knows another. */
import type { z } from 'zod';
import type { Cloud } from '../cloud/cloud.ts';
import { CloudError } from '../cloud/error.ts';
import type { Change } from '../model/change.ts';
import type { RolloutSpec } from '../model/rollout.ts';
import type { Outputs, Owner } from '../model/unit.ts';

/** Where an architecture lives; specs name their own region where theirs differs. */
export interface Scope {
  readonly project: string;
  readonly region: string;
}

/** Typical seconds, by class rather than exact: they decide what starts first. */
export interface Takes {
  readonly create: number;
  readonly update: number;
  readonly remove: number;
}

/** What a mutating call leaves to be awaited: the name of a long-running operation, or nothing. */
export type Pending = { readonly operation: string } | undefined;

/** What a kind gets beside its spec when it writes. */
export interface WriteContext {
  readonly cloud: Cloud;
  /** Put on the resource, so that we know it again. */
  readonly owner: Owner;
}

export interface KindDefinition<Spec extends { readonly name: string }, Live> {
  readonly kind: string;
  readonly spec: z.ZodType<Spec>;
  /** The IAM permissions each verb takes; preflight asks for exactly these. */
  readonly permissions: Readonly<Record<'observe' | 'apply' | 'remove', readonly string[]>>;
  /** The API it belongs to, `pubsub.googleapis.com`: its calls share that API's limit. */
  readonly api: string;
  readonly takes: Takes;
  /** Whether it holds data that a removal would destroy; such a thing is never replaced. */
  readonly holdsData?: boolean;

  /** Google's full name of it. */
  path(spec: Spec, scope: Scope): string;
  /** What is there now; undefined when nothing is. */
  observe(path: string, cloud: Cloud, spec: Spec): Promise<Live | undefined>;
  /** Whose mark it bears. A kind that cannot bear one says 'unmarked' and is never foreign. */
  owner(live: Live): Owner | 'foreign' | 'unmarked';
  /** Why it cannot be judged or changed yet: an earlier change still runs. */
  busy?(live: Live): string | undefined;
  /** `prior` is the spec that we applied last, where known: only for taking back what we gave. */
  compare(spec: Spec, live: Live, owner: Owner, prior: Spec | undefined): Change;
  create(path: string, spec: Spec, context: WriteContext): Promise<Pending>;
  update(
    path: string,
    spec: Spec,
    context: WriteContext & {
      readonly fields: readonly string[];
      readonly live: Live;
      readonly prior: Spec | undefined;
    },
  ): Promise<Pending>;
  remove(
    path: string,
    context: { readonly cloud: Cloud; readonly live: Live; readonly spec: Spec },
  ): Promise<Pending>;
  /** For a kind that bears no mark: whether nothing of ours is in it. */
  gone?(spec: Spec, live: Live): boolean;
  /** Why it is never removed, where that is so. */
  readonly stays?: string;
  /** How an operation stands; an error is what it ended with. */
  poll?(operation: string, cloud: Cloud): Promise<'running' | 'done' | CloudError>;
  /** Of a kind whose users may come to what is new step by step. */
  readonly gradual?: Gradual<Spec, Live>;
  /** What others may refer to. */
  outputs(live: Live, path: string): Outputs;
}

/** How requests are brought to what is new. */
export interface Gradual<Spec, Live> {
  /** Undefined where all of them come at once. */
  rollout(spec: Spec): RolloutSpec | undefined;
  /** The spec with which so many percent of them come to what is new; `rejected`: none ever will. */
  at(spec: Spec, percent: number, verdict?: 'rejected'): Spec;
  /** Whether an update of these fields makes something new. */
  isNew(fields: readonly string[]): boolean;
  stand(live: Live): Stand;
  /** Why the newest is not well; undefined where nothing tells against it. Rejects only when its signal is aborted. */
  look(live: Live, rollout: RolloutSpec, context: LookContext): Promise<Trouble | undefined>;
}

/** How far what is new has come. */
export interface Stand {
  /** How many percent of the requests come to the newest. */
  readonly percent: number;
  /** Whether there is something that could serve in its place. */
  readonly hasOld: boolean;
  /** Whether what there is beside the newest is known by its name: to that one can go back. */
  readonly hasNamedOld: boolean;
  /** It was not well, and gets no request any more. */
  readonly isRejected: boolean;
}

export interface LookContext {
  readonly cloud: Cloud;
  /** How many percent of the requests come to it now. */
  readonly percent: number;
  /** What its users met from then on counts, milliseconds since 1970. */
  readonly since: number;
  readonly signal: AbortSignal;
  /** Makes a call take its turn; `api` is whose limit it counts against. */
  limit<T>(api: string, call: () => Promise<T>): Promise<T>;
}

export interface Trouble {
  /** As one says it: `GET /health answered 500`. */
  readonly what: string;
  /** It could not even be looked at, and what to do about that. */
  readonly fix?: string;
}

/** What was seen of a resource, with its types closed over. */
export interface Observation {
  readonly owner: Owner | 'foreign' | 'unmarked';
  readonly busy: string | undefined;
  readonly gone: boolean;
  readonly outputs: Outputs;
  /** What is left to do, beside the desired spec. */
  readonly change: Change;
  /** Of a kind whose users come to what is new step by step. */
  readonly stand?: Stand;
  update(fields: readonly string[]): Promise<Pending>;
  remove(): Promise<Pending>;
  /** See `Gradual.look`. */
  look?(context: LookContext): Promise<Trouble | undefined>;
}

/** One resource as the engine sees it: its spec is checked and out of sight. */
export interface Resource {
  readonly path: string;
  readonly api: string;
  readonly takes: Takes;
  readonly holdsData: boolean;
  /** Where its users are to come to what is new step by step. */
  readonly stages?: Stages;
  observe(cloud: Cloud): Promise<Observation | undefined>;
  create(cloud: Cloud): Promise<Pending>;
  poll(operation: string, cloud: Cloud): Promise<'running' | 'done' | CloudError>;
}

export interface Stages {
  readonly rollout: RolloutSpec;
  /** As it is to be while so many percent come to what is new; see `Gradual.at`. */
  at(percent: number, verdict?: 'rejected'): Resource;
  isNew(fields: readonly string[]): boolean;
}

export interface Kind {
  readonly kind: string;
  readonly api: string;
  readonly takes: Takes;
  readonly permissions: KindDefinition<never, never>['permissions'];
  readonly stays: string | undefined;
  /** Throws a CloudError 'invalid' for a spec that is not of this kind. */
  bind(input: unknown, owner: Owner, scope: Scope, prior?: unknown): Resource;
}

/** Checks a definition and hides its types, so that kinds of all shapes share one list. */
export function defineKind<Spec extends { readonly name: string }, Live>(
  definition: KindDefinition<Spec, Live>,
): Kind {
  const read = (input: unknown): Spec => {
    const result = definition.spec.safeParse(input);
    if (result.success) return result.data;
    const [issue] = result.error.issues;
    throw new CloudError('invalid', `${definition.kind}: ${issue?.path.join('.')}: ${issue?.message}`);
  };
  return {
    kind: definition.kind,
    api: definition.api,
    takes: definition.takes,
    permissions: definition.permissions,
    stays: definition.stays,
    bind(input, owner, scope, priorInput) {
      const spec = read(input);
      // What an older version wrote may no longer parse; it only ever serves to take grants back.
      const parsed = priorInput === undefined ? undefined : definition.spec.safeParse(priorInput);
      const prior = parsed?.success ? parsed.data : undefined;
      return resourceOf(spec);

      function resourceOf(spec: Spec): Resource {
        const path = definition.path(spec, scope);
        const { gradual } = definition;
        const rollout = gradual?.rollout(spec);
        const stages = gradual &&
          rollout && {
            rollout,
            at: (percent: number, verdict?: 'rejected') => resourceOf(gradual.at(spec, percent, verdict)),
            isNew: gradual.isNew,
          };
        return {
          path,
          api: definition.api,
          takes: definition.takes,
          holdsData: definition.holdsData ?? false,
          ...(stages ? { stages } : {}),
          async observe(cloud) {
            const live = await definition.observe(path, cloud, spec);
            if (live === undefined) return undefined;
            return {
              owner: definition.owner(live),
              busy: definition.busy?.(live),
              gone: definition.gone?.(spec, live) ?? false,
              outputs: definition.outputs(live, path),
              change: definition.compare(spec, live, owner, prior),
              update: (fields) => definition.update(path, spec, { cloud, owner, fields, live, prior }),
              remove: () => definition.remove(path, { cloud, live, spec }),
              ...(gradual && rollout
                ? { stand: gradual.stand(live), look: (context) => gradual.look(live, rollout, context) }
                : {}),
            };
          },
          create: (cloud) => definition.create(path, spec, { cloud, owner }),
          async poll(operation, cloud) {
            if (!definition.poll) throw new CloudError('internal', `${definition.kind} has no operations`);
            return definition.poll(operation, cloud);
          },
        };
      }
    },
  };
}
