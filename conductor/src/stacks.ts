/** What the director looks after, beside what is described. */
import { ACCOUNTS } from '@service-director/shared/model/unit.ts';
import type { RunContext } from './context.ts';
import { directorHttp } from './director-http.ts';
import { Failure } from './failure.ts';

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
