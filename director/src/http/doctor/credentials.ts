/** For which clouds tools are given credentials: by the names of the settings, never by what is in them. */
import { access, constants } from 'node:fs/promises';
import type { Finding } from '@service-director/shared/contract/rest/director.ts';

export const CLOUDS = ['google', 'aws', 'azure'] as const;
export type CloudName = (typeof CLOUDS)[number];

interface Ways {
  /** Each is all that it takes; the first that is whole counts. */
  readonly ways: readonly (readonly string[])[];
  /** What names a file that must be there. */
  readonly files: readonly string[];
  /** What to set. */
  readonly fix: string;
}

const AZURE_WHERE = ['ARM_SUBSCRIPTION_ID', 'ARM_TENANT_ID'] as const;

const WAYS: Readonly<Record<CloudName, Ways>> = {
  google: {
    ways: [['GOOGLE_CREDENTIALS'], ['GOOGLE_APPLICATION_CREDENTIALS'], ['GOOGLE_OAUTH_ACCESS_TOKEN']],
    files: ['GOOGLE_APPLICATION_CREDENTIALS'],
    fix: 'run the director as an account of Google’s, or set GOOGLE_APPLICATION_CREDENTIALS (GCP_CREDENTIALS_FILE)',
  },
  aws: {
    ways: [
      ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'],
      ['AWS_WEB_IDENTITY_TOKEN_FILE', 'AWS_ROLE_ARN'],
      ['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'],
      ['AWS_CONTAINER_CREDENTIALS_FULL_URI'],
      ['AWS_PROFILE', 'AWS_CONFIG_FILE'],
      ['AWS_PROFILE', 'AWS_SHARED_CREDENTIALS_FILE'],
    ],
    files: ['AWS_WEB_IDENTITY_TOKEN_FILE', 'AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE'],
    fix: 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE',
  },
  azure: {
    ways: [
      [...AZURE_WHERE, 'ARM_CLIENT_ID', 'ARM_CLIENT_SECRET'],
      [...AZURE_WHERE, 'ARM_CLIENT_ID', 'ARM_CLIENT_CERTIFICATE_PATH'],
      [...AZURE_WHERE, 'ARM_CLIENT_ID', 'ARM_OIDC_TOKEN_FILE_PATH'],
      [...AZURE_WHERE, 'ARM_CLIENT_ID', 'ARM_OIDC_TOKEN'],
      [...AZURE_WHERE, 'ARM_USE_MSI'],
    ],
    files: ['ARM_CLIENT_CERTIFICATE_PATH', 'ARM_OIDC_TOKEN_FILE_PATH'],
    fix: 'set AZURE_SUBSCRIPTION_ID, AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET',
  },
};

export async function credentialsOf(
  cloud: CloudName,
  environment: Readonly<Record<string, string>>,
  isOnGoogle: boolean,
): Promise<Finding> {
  const { ways, files, fix } = WAYS[cloud];
  const check = `credentials ${cloud}`;
  const isSet = (name: string): boolean => environment[name] !== undefined;
  const whole = ways.find((way) => way.every(isSet));
  if (!whole) {
    if (cloud === 'google' && isOnGoogle)
      return { check, status: 'ok', detail: 'those of the account that the director runs as' };
    const half = ways.map((way) => ({ way, set: way.filter(isSet) })).sort(byMissing)[0];
    if (!half || half.set.length === 0)
      return { check, status: 'warning', detail: `none: code for ${cloud} would be refused there`, fix };
    const missing = half.way.filter((name) => !isSet(name));
    return { check, status: 'failed', detail: `${and(half.set)} without ${and(missing)}`, fix };
  }
  for (const name of whole.filter((one) => files.includes(one)))
    if (!(await canRead(environment[name] ?? '')))
      return { check, status: 'failed', detail: `${name} names a file that the director cannot read`, fix };
  return { check, status: 'ok', detail: and(whole) };
}

interface Half {
  readonly way: readonly string[];
  readonly set: readonly string[];
}

/** What was begun first, and of that what lacks least. */
function byMissing(a: Half, b: Half): number {
  if (a.set.length === 0 || b.set.length === 0) return b.set.length - a.set.length;
  return a.way.length - a.set.length - (b.way.length - b.set.length);
}

function and(names: readonly string[]): string {
  return names.join(', ').replace(/, ([^,]*)$/, ' and $1');
}

async function canRead(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}
