/** What the director looks after, beside what is described; and which of it is meant by a name. */
import { didYouMean } from '@service-director/shared/model/diagnostic.ts';
import { ACCOUNTS, type Owner } from '@service-director/shared/model/unit.ts';
import type { BareContext, RunContext } from './context.ts';
import { directorHttp, type Stack } from './director-http.ts';
import { EXIT, Failure } from './failure.ts';

/** What to say of dataflows that have things in the cloud and are described no more; that it cannot be asked is said too. */
export async function forgottenNotes(url: string, context: RunContext): Promise<string[]> {
  const { architecture } = context;
  try {
    const stacks = await directorHttp(url, context).stacks();
    return stacks
      .filter(({ scope, units }) => scope === architecture.scope && units > 0)
      .map(({ dataflow }) => dataflow)
      .filter((dataflow) => dataflow !== ACCOUNTS && !Object.hasOwn(architecture.dataflows, dataflow))
      .map((name) => `dataflow ${name} is described no more: conductor down --dataflow ${name} removes it`);
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason;
    const { message } = Failure.from(error, 'asking the director');
    return [`whether there are dataflows that are described no more is not known: ${message}`];
  }
}

/** Other architectures that this director has anything of. Rejects with a Failure when it does not tell. */
export async function othersOf(url: string, context: RunContext): Promise<string[]> {
  const stacks = await directorHttp(url, context)
    .stacks()
    .catch((error) => {
      const failure = Failure.from(error, 'asking the director what else it looks after');
      throw new Failure(failure.message, {
        exitCode: failure.exitCode,
        fix: 'run it with --keep-director',
        cause: error,
      });
    });
  const others = stacks.filter(({ scope, units }) => scope !== context.architecture.scope && units > 0);
  return [...new Set(others.map(({ scope }) => scope))];
}

/** Rejects with a Failure where the name alone leaves open which stack it is. */
export async function stackCalled(
  name: string,
  { architecture, environment }: Pick<RunContext | BareContext, 'architecture' | 'environment'>,
  stacks: () => Promise<Stack[]>,
): Promise<Owner> {
  const [scope = '', dataflow, ...more] = name.split('/');
  if (dataflow !== undefined && (scope === '' || dataflow === '' || more.length > 0))
    throw new Failure(`${name} is no name of a stack`, {
      exitCode: EXIT.usage,
      fix: 'write it like SCOPE/DATAFLOW',
    });
  if (dataflow !== undefined) return { scope, dataflow };
  if (architecture) return { scope: architecture.scope, dataflow: name };
  return onlyOne(name, environment, await stacks());
}

function onlyOne(name: string, environment: string | undefined, stacks: readonly Stack[]): Owner {
  const there = stacks.filter(({ scope }) => environment === undefined || scope.endsWith(`-${environment}`));
  const [found, ...others] = there.filter(({ dataflow }) => dataflow === name);
  const where = environment === undefined ? '' : ` in ${environment}`;
  // A folder that was deployed by itself is known by its own name, which is its scope.
  const [own, ...more] = there.filter(({ scope }) => scope === name);
  if (!found && own && more.length === 0) return { scope: name, dataflow: own.dataflow };
  if (!found) {
    const near = didYouMean(
      name,
      there.map(({ dataflow }) => dataflow),
    );
    throw new Failure(
      `The director has no stack of a dataflow "${name}"${where}${near ? `; did you mean "${near}"?` : ''}`,
      {
        fix:
          there.length > 0
            ? `known are: ${namesOf(there)}`
            : 'see whether it is the right director: nothing was deployed by it yet',
      },
    );
  }
  if (others.length === 0) return { scope: found.scope, dataflow: name };
  throw new Failure(`The director has several stacks of a dataflow "${name}"${where}`, {
    exitCode: EXIT.usage,
    fix: `name one of them as a whole: ${namesOf([found, ...others])}`,
  });
}

/** As many as can be read at a glance. */
const MOST_NAMES = 20;

function namesOf(stacks: readonly Stack[]): string {
  const names = stacks.map(({ stack }) => stack).sort();
  const more = names.length - MOST_NAMES;
  return [...names.slice(0, MOST_NAMES), ...(more > 0 ? [`and ${more} more`] : [])].join(', ');
}
