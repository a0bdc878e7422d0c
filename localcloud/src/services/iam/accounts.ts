/** The service accounts that exist and existed, and what IAM makes of them. */
import { randomUUID } from 'node:crypto';
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError } from '../../error.ts';
import type { AccountState } from '../../iam.ts';
import type { Account } from '../../internal.ts';
import type { Table } from '../../store.ts';

export interface AccountRow extends Account {
  readonly displayName: string;
  readonly description: string;
  /** Made and kept by Google: can be bound, and is otherwise out of sight. */
  readonly agent: boolean;
  /** Milliseconds since 1970. */
  readonly deletedAt?: number;
}

export interface NewAccount {
  readonly email: string;
  readonly projectId: string;
  readonly displayName?: string;
  readonly description?: string;
  readonly agent?: boolean;
  /** How long until it can be bound and act. Default: the propagation time. */
  readonly delayMs?: number;
}

export interface Directory {
  find(email: string): AccountRow | undefined;
  /** By email, deleted ones too. */
  existed(email: string): boolean;
  /** Those of a project that its people see. */
  list(projectId: string): AccountRow[];
  /** The account behind `projects/P/serviceAccounts/A`. */
  resolve(name: string): AccountRow | undefined;
  /** As `resolve`; throws NOT_FOUND. */
  get(name: string): AccountRow;
  /** The name that policies are kept under: id for number, email for unique id, project for `-`. */
  canonical(name: string): string;
  create(account: NewAccount): AccountRow;
  update(account: AccountRow): void;
  /** Forgets it for now: its members in policies are marked, its own policy is put aside. */
  delete(account: AccountRow): void;
  findDeleted(uniqueId: string): AccountRow | undefined;
  undelete(account: AccountRow): AccountRow;
}

/** How long a deleted account can be restored. */
const RESTORABLE_MS = 30 * 24 * 3_600_000;

export function openDirectory(cloud: LocalCloud): Directory {
  /** By unique id. */
  const rows: Table<AccountRow> = cloud.store.table('iam.accounts');
  const live = new Map<string, AccountRow>();
  const known = new Set<string>();
  for (const row of rows.values()) {
    known.add(row.email);
    if (row.deletedAt === undefined) live.set(row.email, row);
  }
  cloud.iam.registerAccounts(stateOf);

  function stateOf(email: string): AccountState {
    const row = live.get(email);
    if (!row) return known.has(email) ? 'deleted' : 'unknown';
    if (row.effectiveAt > cloud.clock.now()) return 'propagating';
    return row.disabled ? 'disabled' : 'effective';
  }

  function keep(row: AccountRow): AccountRow {
    rows.set(row.uniqueId, row);
    live.set(row.email, row);
    known.add(row.email);
    return row;
  }

  function resolve(name: string): AccountRow | undefined {
    const { project, account } = split(name);
    const byId = rows.get(account);
    const row = live.get(account) ?? (byId?.deletedAt === undefined ? byId : undefined);
    if (!row || row.agent) return undefined;
    return project === '-' || projectIdOf(project) === row.projectId ? row : undefined;
  }

  function projectIdOf(project: string): string {
    return cloud.projects.find(project)?.projectId ?? project;
  }

  return {
    resolve,
    find: (email) => live.get(email),
    existed: (email) => known.has(email),
    list: (projectId) => [...live.values()].filter((row) => row.projectId === projectId && !row.agent),
    get(name) {
      const row = resolve(name);
      if (!row) throw unknownAccount();
      return row;
    },
    canonical(name) {
      const row = resolve(name);
      if (row) return resourceOf(row);
      const { project, account } = split(name);
      const deleted = project === '-' ? rows.get(account) : undefined;
      return `projects/${deleted?.projectId ?? projectIdOf(project)}/serviceAccounts/${account}`;
    },
    create: ({ email, projectId, displayName = '', description = '', agent = false, delayMs }) =>
      keep({
        email,
        projectId,
        displayName,
        description,
        agent,
        uniqueId: newUniqueId(),
        disabled: false,
        effectiveAt: cloud.clock.now() + (delayMs ?? cloud.propagationMs),
      }),
    update: keep,
    delete(row) {
      rows.set(row.uniqueId, { ...row, deletedAt: cloud.clock.now() });
      live.delete(row.email);
      cloud.iam.renameMember(memberOf(row), deletedMemberOf(row));
      cloud.iam.movePolicy(resourceOf(row), asideOf(row));
    },
    findDeleted(uniqueId) {
      const row = rows.get(uniqueId);
      if (row?.deletedAt === undefined) return undefined;
      return row.deletedAt + RESTORABLE_MS > cloud.clock.now() ? row : undefined;
    },
    undelete({ deletedAt, ...row }) {
      cloud.iam.renameMember(deletedMemberOf(row), memberOf(row));
      cloud.iam.movePolicy(asideOf(row), resourceOf(row));
      return keep({ ...row, effectiveAt: cloud.clock.now() + cloud.propagationMs });
    },
  };
}

export function resourceOf(row: AccountRow): string {
  return `projects/${row.projectId}/serviceAccounts/${row.email}`;
}

export function unknownAccount(): GoogleError {
  return new GoogleError('NOT_FOUND', 'Unknown service account');
}

function split(name: string): { project: string; account: string } {
  const [, project = '', , account = ''] = name.split('/');
  return { project, account };
}

function memberOf(row: AccountRow): string {
  return `serviceAccount:${row.email}`;
}

function deletedMemberOf(row: AccountRow): string {
  return `deleted:serviceAccount:${row.email}?uid=${row.uniqueId}`;
}

/** Where the policy of a deleted account waits. */
function asideOf(row: AccountRow): string {
  return `deletedServiceAccounts/${row.uniqueId}`;
}

/** 21 digits, the first a 1. */
function newUniqueId(): string {
  const digits = BigInt(`0x${randomUUID().replaceAll('-', '')}`) % 10n ** 20n;
  return `1${digits.toString().padStart(20, '0')}`;
}
