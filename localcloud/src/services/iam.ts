/** IAM v1: service accounts, keys, roles. See iam.md. */
import type { LocalCloud } from '../cloud.ts';
import type { Accounts } from '../internal.ts';
import type { Roles } from '../roles.ts';
import type { Service } from '../service.ts';
import { accountMethods } from './iam/account-methods.ts';
import { openDirectory } from './iam/accounts.ts';
import { type Agents, openAgents } from './iam/agents.ts';
import { type KeyRow, openKeys } from './iam/keys.ts';
import { roleMethods } from './iam/role-methods.ts';

export interface IamApi {
  readonly service: Service;
  readonly accounts: Accounts;
  /** The name under which policies keep the account of `projects/P/serviceAccounts/A`. */
  canonical(name: string): string;
  /** The accounts that Google makes when an API is enabled. */
  readonly agents: Agents;
  /** The keys of an account, by its unique id. */
  keysOf(uniqueId: string): readonly KeyRow[];
}

export function iam(cloud: LocalCloud, { roles }: { roles: Roles }): IamApi {
  const directory = openDirectory(cloud);
  const keys = openKeys(cloud, directory);
  return {
    accounts: { find: directory.find },
    canonical: directory.canonical,
    agents: openAgents(cloud, directory),
    keysOf: keys.list,
    service: {
      name: 'iam',
      host: 'iam.googleapis.com',
      title: 'Identity and Access Management (IAM) API',
      protos: ['google/iam/admin/v1/iam.proto'],
      methods: {
        'google.iam.admin.v1.IAM': {
          ...accountMethods(cloud, directory),
          ...keys.methods,
          ...roleMethods(cloud, roles),
        },
      },
    },
  };
}
