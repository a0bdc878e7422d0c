/** What a deployment asks of IAM beyond the permission of the method itself. */
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError } from '../../error.ts';
import type { Identity } from '../../identity.ts';
import type { Accounts, Images } from '../../internal.ts';

const DOWNLOAD = 'artifactregistry.repositories.downloadArtifacts';

/** Refuses a caller who may not act as the account, and an account that does not exist, alike. */
export function demandActAs(cloud: LocalCloud, accounts: Accounts, caller: Identity, email: string): void {
  const account = accounts.find(email);
  const usable = account !== undefined && account.effectiveAt <= cloud.clock.now();
  const resource = `projects/${account?.projectId}/serviceAccounts/${email}`;
  if (usable && cloud.iam.test(caller, ['iam.serviceAccounts.actAs'], resource).length > 0) return;
  throw new GoogleError(
    'PERMISSION_DENIED',
    `Permission 'iam.serviceaccounts.actAs' denied on service account ${email} (or it may not exist).`,
  );
}

export function demandImage(cloud: LocalCloud, images: Images, caller: Identity, image: string): void {
  if (mayRead(cloud, images, caller, image)) return;
  throw new GoogleError(
    'PERMISSION_DENIED',
    `User must have permission to read the image, ${image}. Ensure that the provided container image URL is correct and that the above account has permission to access the image.`,
  );
}

export function mayRead(cloud: LocalCloud, images: Images, who: Identity, image: string): boolean {
  return cloud.iam.test(who, [DOWNLOAD], images.repositoryOf(image)).length > 0;
}

/** The account with which Cloud Run itself pulls images. */
export function serviceAgent(cloud: LocalCloud, project: string): Identity {
  const { number } = cloud.projects.get(project);
  return { type: 'serviceAccount', email: `service-${number}@serverless-robot-prod.iam.gserviceaccount.com` };
}

/** As whom a revision runs that names no account. */
export function defaultAccount(cloud: LocalCloud, project: string): string {
  return `${cloud.projects.get(project).number}-compute@developer.gserviceaccount.com`;
}
