/** The roles that a policy can name: those that Google defines, as far as the local cloud knows them, and the custom ones of projects. */
import { PREDEFINED } from './roles/basic.ts';
import type { PredefinedRole } from './roles/notation.ts';
import type { Store, Table } from './store.ts';

export interface Role {
  readonly title: string;
  readonly permissions: { has(permission: string): boolean };
}

/** A role that somebody made in a project. */
export interface CustomRole {
  /** `projects/p/roles/deployer`. */
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly stage: string;
  readonly includedPermissions: readonly string[];
  /** Base64; changes with every write. */
  readonly etag: string;
  /** Milliseconds since 1970. A deleted role grants nothing, and can be restored for a while. */
  readonly deletedAt?: number;
}

export interface Roles {
  /** The role that grants; undefined when there is none of that name, or it was deleted. */
  of(name: string): Role | undefined;
  readonly predefined: readonly PredefinedRole[];
  /** By name, the deleted ones too. */
  readonly custom: Table<CustomRole>;
  /** Every permission that any predefined role holds. */
  readonly permissions: readonly string[];
}

export function openRoles(store: Store): Roles {
  const custom: Table<CustomRole> = store.table('iam.roles');
  const byName = new Map(PREDEFINED.map((role) => [role.name, role]));
  return {
    of(name) {
      const predefined = byName.get(name);
      if (predefined) return predefined;
      const row = custom.get(name);
      if (!row || row.deletedAt !== undefined) return undefined;
      return { title: row.title, permissions: new Set(row.includedPermissions) };
    },
    predefined: PREDEFINED,
    custom,
    permissions: [...new Set(PREDEFINED.flatMap((role) => [...role.permissions]))].sort(),
  };
}
