/** Before anything: is the project there, may we, and are the APIs on. */
import { CloudError } from '@service-director/shared/cloud/error.ts';
import { policyOf } from '@service-director/shared/cloud/policy.ts';
import { infrastructureUnits } from '@service-director/shared/engine/infrastructure.ts';
import { type KindName, kinds } from '@service-director/shared/resources/index.ts';
import type { RunContext } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { bring } from './units.ts';

export interface World {
  readonly projectNumber: string;
  /** More that the director finds in its environment. */
  readonly directorEnv: Readonly<Record<string, string>>;
}

/** Finds out what every phase needs to know; changes nothing. */
export async function findWorld(context: RunContext): Promise<World> {
  const { reach, architecture } = context;
  const id = architecture.project_id;
  await reach.local?.ensureProject(id);
  try {
    const projects = await reach.cloud.projects();
    const { data } = await projects.projects.get({ name: `projects/${id}` });
    const projectNumber = data.name?.replace('projects/', '');
    if (projectNumber === undefined) throw new CloudError('internal', `the project ${id} has no number`);
    return { projectNumber, directorEnv: directorEnv(context) };
  } catch (error) {
    const known = CloudError.from(error);
    if (known.reason === 'denied' || known.reason === 'not-found') {
      if (reach.local) throw noLocalProject(id, error);
      throw new Failure(`The project ${id} does not exist, or you may not see it: ${known.message}`, {
        exitCode: EXIT.denied,
        fix: `see gcloud projects describe ${id}; correct project_id or sign in as somebody else`,
        cause: error,
      });
    }
    if (known.reason === 'api-disabled') throw closedProject(id, error);
    throw Failure.from(error, `the project ${id}`);
  }
}

/** Not even the APIs through which the others are enabled: nothing can be up. */
function closedProject(id: string, cause: unknown): Failure {
  return new Failure(`The APIs of the project ${id} are not enabled yet, and nothing is up`, {
    exitCode: EXIT.denied,
    fix: `run gcloud services enable cloudresourcemanager.googleapis.com serviceusage.googleapis.com --project=${id}, then conductor up`,
    cause,
  });
}

/** A run makes it on the local cloud; whoever only looks may find none. */
function noLocalProject(id: string, cause: unknown): Failure {
  return new Failure(`Nothing is up: the local cloud has no project ${id} yet`, {
    exitCode: EXIT.unreachable,
    fix: 'run conductor up',
    cause,
  });
}

function directorEnv({ reach, architecture }: RunContext): Readonly<Record<string, string>> {
  if (reach.local) return reach.local.directorEnv(architecture);
  return reach.endpoint === undefined ? {} : EMBEDDED;
}

/** What is not Google may have Firestore's databases and no documents in them: the state is beside the director then. */
const EMBEDDED = { DIRECTOR_STATE: 'sqlite:director-state.sqlite' };

export async function preflight(world: World, context: RunContext): Promise<void> {
  await demandPermissions(world, context);
  const units = infrastructureUnits(context.architecture, world);
  await bring(
    units.filter(({ kind }) => kind === 'apis'),
    'preflight',
    context,
  );
}

/** Every permission that the conductor itself will use on the project, asked at once. */
async function demandPermissions(world: World, context: RunContext): Promise<void> {
  const { architecture, reach } = context;
  const used = new Set(infrastructureUnits(architecture, world).map(({ kind }) => kind));
  const permissions = [
    'cloudbuild.builds.create',
    'cloudbuild.builds.get',
    'iam.serviceAccounts.actAs',
    'pubsub.topics.publish',
    'resourcemanager.projects.setIamPolicy',
    'run.services.create',
    'run.services.list',
    'storage.objects.create',
    ...[...used].flatMap((kind) => [
      ...kinds[kind as KindName].permissions.observe,
      ...kinds[kind as KindName].permissions.apply,
    ]),
  ];
  const path = `projects/${architecture.project_id}`;
  const asked = [...new Set(permissions)].sort();
  const held = await policyOf(path, reach.cloud)
    .test(asked)
    .catch((error) => {
      throw Failure.from(error, `asking which permissions you have on ${path}`);
    });
  const missing = asked.filter((permission) => !held.includes(permission));
  if (missing.length === 0) return;
  throw new Failure(
    `You lack ${missing.length} permission${missing.length > 1 ? 's' : ''} on ${path}: ${missing.join(', ')}`,
    {
      exitCode: EXIT.denied,
      fix: `have somebody run: ${rolesFor(missing)
        .map(
          (role) =>
            `gcloud projects add-iam-policy-binding ${architecture.project_id} --member=user:YOU --role=${role}`,
        )
        .join(' && ')}`,
    },
  );
}

/** Roles that hold the permissions. */
function rolesFor(permissions: readonly string[]): string[] {
  const roles = permissions.map(
    (permission) => NOT_EDITORS.find(([pattern]) => pattern.test(permission))?.[1] ?? 'roles/editor',
  );
  return [...new Set(roles)];
}

/** What an editor of a project may not, or not by that role. */
const NOT_EDITORS: readonly (readonly [RegExp, string])[] = [
  [/^datastore\.databases\.create$/, 'roles/datastore.owner'],
  [/^resourcemanager\.projects\.setIamPolicy$/, 'roles/resourcemanager.projectIamAdmin'],
  [/^storage\.(buckets\.(get|update)|objects\.)/, 'roles/storage.admin'],
];
