/** Deployments that architectures describe: which one a command means, which of its dataflows, and what they shall be. */
import type { Describing } from '@service-director/shared/contract/command.ts';
import { fingerprint } from '@service-director/shared/kit/hash.ts';
import { check } from '@service-director/shared/model/check.ts';
import { type Hydrated, hydrate } from '@service-director/shared/model/hydrate.ts';
import { listAll } from '../store/list-all.ts';
import { type ArchitectureRecord, keys, type StackRecord } from '../store/records.ts';
import type { Store, Write } from '../store/store.ts';
import { type Blueprints, type Subject, Unplannable } from './blueprints.ts';
import { inputsOf } from './inputs.ts';

export const architectures: Blueprints = {
  async subjectOf(command, store) {
    const subject = await chosen(command, store);
    // Whoever only asks what would be done teaches nothing.
    const writes = command.data.dry_run ? [] : await lessonsOf(command, store);
    return { ...subject, writes };
  },

  async scopesWith(dataflow, store) {
    const described = (await knownTo(store)).filter((one) => dataflow in one.dataflows);
    const stacks = await listAll<StackRecord>(store, { collection: 'stacks' });
    const left = stacks.filter(({ value }) => value.dataflow === dataflow);
    return [...new Set([...described.map(({ scope }) => scope), ...left.map(({ value }) => value.scope)])];
  },

  async describe(scope, command, store) {
    const known = (await store.get<ArchitectureRecord>(keys.architecture(scope)))?.value;
    const { architecture: brought, director_url } = command.type === 'rollback' ? {} : command.data;
    const directorUrl = director_url ?? known?.directorUrl;
    const told = brought ?? known;
    const architecture = told && hydrated(told.document, told.environment);
    return {
      digest: fingerprint([told?.document ?? null, told?.environment ?? null, directorUrl ?? null]),
      approval: architecture?.approval,
      isPermanent(dataflow) {
        const described = architecture?.dataflows[dataflow];
        return described && described.lifecycle.strategy === 'permanent';
      },
      inputs: (request) => inputsOf({ ...request, architecture, directorUrl }),
    };
  },
};

/** Keeps the architecture that a command brought, unless a newer one is there. */
async function lessonsOf(command: Describing, store: Store): Promise<Write[]> {
  const record = recordOf(command);
  if (!record) return [];
  const key = keys.architecture(record.scope);
  const found = await store.get<ArchitectureRecord>(key);
  if (found && record.time < found.value.time) return [];
  // Who does not say where the director is takes nothing back.
  const value = {
    ...(found?.value.directorUrl ? { directorUrl: found.value.directorUrl } : {}),
    ...record,
  };
  if (found && fingerprint(value) === fingerprint(found.value)) return [];
  return [{ type: 'put', key, value, if: found?.version ?? 'absent' }];
}

function recordOf(command: Describing): ArchitectureRecord | undefined {
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

type Candidate = Pick<Subject, 'scope' | 'dataflows'>;

/** Throws Unplannable when nothing, or more than one thing, could be meant. */
async function chosen(command: Describing, store: Store): Promise<Candidate> {
  const { architecture, dataflow } = command.data;
  if (architecture) demandSound(architecture.document);
  const stacks =
    command.type === 'teardown' ? await listAll<StackRecord>(store, { collection: 'stacks' }) : [];
  const known = architecture
    ? [hydrated(architecture.document, architecture.environment)]
    : await knownTo(store);
  const candidates = known.map((one): Candidate => {
    const described = Object.keys(one.dataflows).filter((name) => name !== one.director.infrastructure);
    const left = stacks.flatMap(({ value }) => (value.scope === one.scope ? [value.dataflow] : []));
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

function choose(candidates: readonly Candidate[], { data: { scope, dataflow } }: Describing): Candidate {
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

function hydrated(document: ArchitectureRecord['document'], environment: string | undefined): Hydrated {
  try {
    return hydrate(document, { environment });
  } catch (error) {
    throw new Unplannable(error instanceof Error ? error.message : String(error));
  }
}
