/** What commands are about, and what their stacks shall be: the seam between the life of deployments and what describes them. */
import type { Command, Describing, Operating } from '@service-director/shared/contract/command.ts';
import type { Operation } from '@service-director/shared/engine/plan.ts';
import type { ApprovalGate } from '@service-director/shared/model/architecture.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import type { Unit, UnitId } from '@service-director/shared/model/unit.ts';
import type { Store, Write } from '../store/store.ts';

export interface Blueprints {
  /** Throws Unplannable when nothing, or more than one thing, could be meant. */
  subjectOf(command: Describing, store: Store): Promise<Subject>;
  /** The scopes in which a stack of that dataflow could be, known or described. */
  scopesWith(dataflow: string, store: Store): Promise<readonly string[]>;
  /** What a deployment of the scope goes by: what its command brought, else what was told last. */
  describe(scope: string, command: Operating, store: Store): Promise<Described>;
}

export interface Subject {
  readonly scope: string;
  /** Those that are described; for a teardown also those of which only state is left. */
  readonly dataflows: readonly string[];
  /** Keeps what the command taught, under the condition that nobody taught otherwise in the meantime. */
  readonly writes: readonly Write[];
}

/** What a deployment goes by. */
export interface Described {
  /** Tells one description from another. */
  readonly digest: string;
  /** Undefined where nothing is described any more. */
  readonly approval: ApprovalGate | undefined;
  /** Whether a teardown leaves it; undefined where it is not described any more. */
  isPermanent(dataflow: string): boolean | undefined;
  /** Throws Unplannable. */
  inputs(request: InputRequest): Inputs;
}

export interface InputRequest {
  readonly dataflow: string;
  readonly command: Command;
  readonly operation: Operation;
  readonly priors: ReadonlyMap<UnitId, UnitState>;
  readonly projectNumber: string;
  /** Whether the stack was permanent when it was set up last; decides where nothing describes it any more. */
  readonly wasPermanent: boolean;
}

/** What a deployment plans with. */
export interface Inputs {
  readonly desired: readonly Unit[];
  /** Not wanted any more. */
  readonly obsolete: readonly UnitState[];
  /** Why some of the obsolete stay. */
  readonly keep: ReadonlyMap<UnitId, string>;
  /** Belong to others, and are awaited. */
  readonly externals: readonly Unit[];
  /** Whose deployments may be about to make an external: names of dataflows. */
  readonly makers: ReadonlyMap<UnitId, readonly string[]>;
}

/** A deployment that cannot even be planned; the message is for the user. */
export class Unplannable extends Error {
  readonly fix: string | undefined;

  constructor(message: string, fix?: string) {
    super(message);
    this.name = 'Unplannable';
    this.fix = fix;
  }
}

/** What nobody foresaw ends a deployment too, and says so: it must not be tried for ever. */
export function mistake(error: unknown): Unplannable {
  const trace = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new Unplannable(`The director made a mistake: ${trace}`, 'report it; then run it again');
}

/** The one stack of that dataflow. */
export async function ownerOf(
  { dataflow, scope }: { dataflow: string; scope: string | undefined },
  blueprints: Blueprints,
  store: Store,
): Promise<{ scope: string; dataflow: string }> {
  const scopes = await blueprints.scopesWith(dataflow, store);
  const fitting = scopes.filter((one) => scope === undefined || one === scope);
  const [only] = fitting;
  if (only !== undefined && fitting.length === 1) return { scope: only, dataflow };
  if (fitting.length > 1)
    throw new Unplannable(
      `There are several stacks of ${dataflow}`,
      `add "scope": one of ${fitting.join(', ')}`,
    );
  throw new Unplannable(
    `There is no stack of ${dataflow}${scope === undefined ? '' : ` in ${scope}`}`,
    scopes.length === 0
      ? 'see conductor status for those that there are'
      : `known scopes are ${scopes.join(', ')}`,
  );
}
