/** The calls on service accounts. */
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError, invalid } from '../../error.ts';
import { isObject, type Json, type JsonObject } from '../../json.ts';
import { page } from '../../pages.ts';
import { policyMethods } from '../../policy-methods.ts';
import type { Access, Call, Method } from '../../service.ts';
import { type AccountRow, type Directory, resourceOf, unknownAccount } from './accounts.ts';

export function accountMethods(cloud: LocalCloud, directory: Directory): Readonly<Record<string, Method>> {
  const on =
    (permission: string) =>
    (request: JsonObject): Access => ({
      permission: `iam.serviceAccounts.${permission}`,
      resource: directory.canonical(String(request.name)),
    });

  const projectOf = (request: JsonObject): string => {
    const id = String(request.name).split('/')[1] ?? '';
    return cloud.projects.find(id)?.projectId ?? id;
  };
  const inProject =
    (permission: string) =>
    (request: JsonObject): Access => ({
      permission: `iam.serviceAccounts.${permission}`,
      resource: `projects/${projectOf(request)}`,
    });

  const named = (request: JsonObject): AccountRow => directory.get(String(request.name));

  function setDisabled(request: JsonObject, disabled: boolean): JsonObject {
    directory.update({ ...named(request), disabled });
    return {};
  }

  function create(request: JsonObject, { identity }: Call): JsonObject {
    const projectId = projectOf(request);
    const id = String(request.accountId ?? '');
    checkId(id);
    const texts = readTexts(isObject(request.serviceAccount) ? request.serviceAccount : {});
    const email = `${id}@${projectId}.iam.gserviceaccount.com`;
    if (directory.find(email)) throw taken(id, projectId, email);
    const account = directory.create({ email, projectId, ...texts });
    letCreatorAct(cloud, account, identity);
    return describe(account);
  }

  function patch(request: JsonObject): JsonObject {
    const given = isObject(request.serviceAccount) ? request.serviceAccount : {};
    const mask = String(request.updateMask ?? '')
      .split(',')
      .filter((field) => field !== '');
    if (mask.length === 0) throw invalid('The update mask must name at least one field.', 'update_mask');
    const texts = readTexts(given);
    const change: { displayName?: string; description?: string } = {};
    for (const field of mask) {
      if (field !== 'displayName' && field !== 'description') {
        throw invalid(`The field "${field}" of a service account cannot be updated.`, 'update_mask');
      }
      change[field] = texts[field];
    }
    const account = { ...directory.get(String(given.name)), ...change };
    directory.update(account);
    return describe(account);
  }

  function replace(request: JsonObject): JsonObject {
    const account = named(request);
    const { displayName, description } = readTexts(request);
    const changed = {
      ...account,
      displayName,
      description: request.description === undefined ? account.description : description,
    };
    directory.update(changed);
    return describe(changed);
  }

  function undelete(request: JsonObject): JsonObject {
    const name = String(request.name);
    if (directory.resolve(name)) {
      throw new GoogleError('FAILED_PRECONDITION', 'The service account is not deleted.');
    }
    const account = directory.findDeleted(name.split('/')[3] ?? '');
    const project = projectOf(request);
    if (!account || (project !== '-' && project !== account.projectId)) throw unknownAccount();
    const { email, projectId } = account;
    if (directory.find(email)) throw taken(email.split('@')[0] ?? '', projectId, email);
    return { restoredAccount: describe(directory.undelete(account)) };
  }

  return {
    ...policyMethods(cloud, {
      permissions: 'iam.serviceAccounts',
      nameOf: directory.canonical,
      demand: (name) => void directory.get(name),
    }),
    ListServiceAccounts: {
      access: inProject('list'),
      handle(request) {
        const sizes = { usual: 20, most: 100 };
        const { items, nextPageToken } = page(
          directory.list(projectOf(request)),
          (row) => row.email,
          request,
          sizes,
        );
        return { accounts: items.map(describe), nextPageToken };
      },
    },
    CreateServiceAccount: { access: inProject('create'), handle: create },
    GetServiceAccount: { access: on('get'), handle: (request) => describe(named(request)) },
    UpdateServiceAccount: { access: on('update'), handle: replace },
    PatchServiceAccount: {
      access: (request) => on('update')(isObject(request.serviceAccount) ? request.serviceAccount : {}),
      handle: patch,
    },
    DeleteServiceAccount: {
      access: on('delete'),
      handle(request) {
        directory.delete(named(request));
        return {};
      },
    },
    UndeleteServiceAccount: { access: on('undelete'), handle: undelete },
    EnableServiceAccount: { access: on('enable'), handle: (request) => setDisabled(request, false) },
    DisableServiceAccount: { access: on('disable'), handle: (request) => setDisabled(request, true) },
  };
}

function describe(account: AccountRow): JsonObject {
  return {
    name: resourceOf(account),
    projectId: account.projectId,
    uniqueId: account.uniqueId,
    email: account.email,
    displayName: account.displayName,
    description: account.description,
    oauth2ClientId: account.uniqueId,
    disabled: account.disabled,
    etag: Buffer.from('service account').toString('base64'),
  };
}

/** A user who makes an account may use it; nobody else is given anything. */
function letCreatorAct(cloud: LocalCloud, account: AccountRow, creator: Call['identity']): void {
  const resource = resourceOf(account);
  if (creator.type !== 'user') return;
  if (cloud.iam.test(creator, ['iam.serviceAccounts.actAs'], resource).length > 0) return;
  cloud.iam.setPolicy(resource, {
    bindings: [{ role: 'roles/iam.serviceAccountUser', members: [`user:${creator.email}`] }],
  });
}

function checkId(id: string): void {
  if (id.length < 6 || id.length > 30) {
    throw invalid(`The account ID "${id}" does not have a length between 6 and 30.`, 'account_id');
  }
  if (!/^[a-z]([-a-z0-9]*[a-z0-9])$/.test(id)) {
    throw invalid(
      `The account ID "${id}" does not match the pattern [a-z]([-a-z0-9]*[a-z0-9]).`,
      'account_id',
    );
  }
}

function readTexts(json: JsonObject): { displayName: string; description: string } {
  return {
    displayName: readText(json.displayName, 'display name', 100),
    description: readText(json.description, 'description', 256),
  };
}

function readText(value: Json | undefined, what: string, bytes: number): string {
  const text = String(value ?? '');
  if (Buffer.byteLength(text) > bytes) throw invalid(`The ${what} is longer than ${bytes} bytes.`);
  return text;
}

function taken(id: string, projectId: string, email: string): GoogleError {
  return new GoogleError(
    'ALREADY_EXISTS',
    `Service account ${id} already exists within project projects/${projectId}.`,
    [
      {
        '@type': 'type.googleapis.com/google.rpc.ResourceInfo',
        resourceName: `projects/${projectId}/serviceAccounts/${email}`,
      },
    ],
  );
}
