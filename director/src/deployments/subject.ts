/** What a command is about: which architecture, and which of its dataflows. */
import type { Command } from '@service-director/shared/contract/command.ts';
import { fingerprint } from '@service-director/shared/kit/hash.ts';
import { check } from '@service-director/shared/model/check.ts';
import { type Hydrated, hydrate } from '@service-director/shared/model/hydrate.ts';
import { listAll } from '../store/list-all.ts';
import { type ArchitectureRecord, keys, type StackRecord } from '../store/records.ts';
import { Conflict, type Store } from '../store/store.ts';
import { Unplannable } from './inputs.ts';

export interface Subject {
  readonly scope: string;
  /** Those that the architecture describes; for a teardown also those of which only state is left. */
  readonly dataflows: readonly string[];
}

/** What a deployment goes by. */
export interface Described {
  readonly architecture: Hydrated | undefined;
  readonly directorUrl: string | undefined;
  /** Of both: tells one description from another. */
  readonly digest: string;
}

/** Keeps the architecture that a command brought, unless a newer one is there. */
export async function remember(command: Command, store: Store): Promise<void> {
  const record = recordOf(command);
  if (!record) return;
  const key = keys.architecture(record.scope);
  for (;;) {
    const found = await store.get<ArchitectureRecord>(key);
    if (found && record.time < found.value.time) return;
    // Who does not say where the director is takes nothing back.
    const value = {
      ...(found?.value.directorUrl ? { directorUrl: found.value.directorUrl } : {}),
      ...record,
    };
    if (found && fingerprint(value) === fingerprint(found.value)) return;
    try {
      await store.commit([{ type: 'put', key, value, if: found?.version ?? 'absent' }]);
      return;
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
    }
  }
}

function recordOf(command: Command): ArchitectureRecord | undefined {
  const { architecture, director_url } = command.data;
  if (!architecture) return undefined;
  const { document, environment } = architecture;
  return {
    scope: hydrated(document, environment).scope,
    document,
    time: command.time,
    ...(environment === undefined ? {} : { environment }),
    ...(director_url === undefined ? {} : { directorUrl: director_url }),
  };
}

/** Throws Unplannable when nothing, or more than one thing, could be meant. */
export async function subjectOf(command: Command, store: Store): Promise<Subject> {
  const { architecture, dataflow } = command.data;
  if (architecture) demandSound(architecture.document);
  const stacks = (await listAll<StackRecord>(store, { collection: 'stacks' })).map(({ value }) => value);
  const known = architecture
    ? [hydrated(architecture.document, architecture.environment)]
    : await knownTo(store);
  const candidates = known.map((one): Subject => {
    const described = Object.keys(one.dataflows).filter((name) => name !== one.director.infrastructure);
    const left =
      command.type === 'teardown'
        ? stacks.filter(({ scope }) => scope === one.scope).map((stack) => stack.dataflow)
        : [];
    return { scope: one.scope, dataflows: [...new Set([...described, ...left])] };
  });
  if (candidates.length === 0)
    throw new Unplannable('This director was not told of any architecture yet', 'run conductor up once');
  const subject = choose(candidates, command);
  if (dataflow === 'all') return subject;
  return { scope: subject.scope, dataflows: [dataflow] };
}

/** Whoever typed a command by hand had no conductor to look at it first. */
function demandSound(document: ArchitectureRecord['document']): void {
  const errors = check(document).filter(({ severity }) => severity === 'error');
  if (errors.length === 0) return;
  const lines = errors.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw new Unplannable(`The architecture is wrong:\n${lines.join('\n')}`, errors[0]?.fix);
}

function choose(candidates: readonly Subject[], { data: { scope, dataflow } }: Command): Subject {
  const scoped = candidates.filter((candidate) => scope === undefined || candidate.scope === scope);
  if (scoped.length === 0) {
    throw new Unplannable(
      `There is no architecture "${scope}"`,
      `known are: ${candidates.map((one) => one.scope).join(', ')}`,
    );
  }
  const fitting = scoped.filter(({ dataflows }) => dataflow === 'all' || dataflows.includes(dataflow));
  const [only] = fitting;
  if (only && fitting.length === 1) return only;
  if (fitting.length > 1) {
    throw new Unplannable(
      'Several architectures could be meant',
      `add "scope": one of ${fitting.map((one) => one.scope).join(', ')}`,
    );
  }
  const dataflows = scoped.flatMap((one) => one.dataflows);
  throw new Unplannable(`There is no dataflow "${dataflow}"`, `known are: ${dataflows.join(', ') || 'none'}`);
}

async function knownTo(store: Store): Promise<Hydrated[]> {
  const rows = await listAll<ArchitectureRecord>(store, { collection: 'architectures' });
  return rows.map(({ value }) => hydrated(value.document, value.environment));
}

/** The architecture that a deployment of the scope goes by: what its command brought, else what was told last. */
export async function architectureOf(scope: string, command: Command, store: Store): Promise<Described> {
  const { architecture, director_url } = command.data;
  const known = (await store.get<ArchitectureRecord>(keys.architecture(scope)))?.value;
  const directorUrl = director_url ?? known?.directorUrl;
  const told = architecture ?? known;
  return {
    architecture: told && hydrated(told.document, told.environment),
    directorUrl,
    digest: fingerprint([told?.document ?? null, told?.environment ?? null, directorUrl ?? null]),
  };
}

function hydrated(document: ArchitectureRecord['document'], environment: string | undefined): Hydrated {
  try {
    return hydrate(document, { environment });
  } catch (error) {
    throw new Unplannable(error instanceof Error ? error.message : String(error));
  }
}
