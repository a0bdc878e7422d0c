/** The metadata server: who a workload is and where it runs. See metadata.md. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { LocalCloud } from '../cloud.ts';
import { GoogleError } from '../error.ts';
import type { Accounts } from '../internal.ts';
import type { Door, Route, RouteRequest, Service } from '../service.ts';

/** A value, a list, something made when it is asked for, or a folder of these. */
type Entry = string | number | readonly string[] | Making | Folder;
type Making = (query: URLSearchParams) => string;
interface Folder {
  readonly [name: string]: Entry;
}

const ROOT = '/computeMetadata/v1';
const SCOPES = ['https://www.googleapis.com/auth/cloud-platform'];
const TOKEN_SECONDS = 3_600;

export function metadata(cloud: LocalCloud, { accounts }: { accounts: Accounts }): { service: Service } {
  function tree(door: Door): Folder {
    const number = cloud.projects.find(door.projectId)?.number ?? '0';
    const account = accountFolder(door);
    return {
      instance: {
        id: `${number}${door.port}`,
        region: `projects/${number}/regions/${door.region}`,
        'service-accounts': { default: account, [door.identity.email]: account },
        zone: `projects/${number}/zones/${door.region}-1`,
      },
      project: { 'numeric-project-id': Number(number), 'project-id': door.projectId },
      universe: { 'universe-domain': 'googleapis.com' },
    };
  }

  function accountFolder({ identity }: Door): Folder {
    return {
      aliases: ['default'],
      email: identity.email,
      identity: (query) => identityToken(identity.email, query),
      scopes: SCOPES,
      token: () =>
        JSON.stringify({
          access_token: cloud.tokens.access(identity, TOKEN_SECONDS),
          expires_in: TOKEN_SECONDS - 1,
          token_type: 'Bearer',
        }),
    };
  }

  function identityToken(email: string, query: URLSearchParams): string {
    const account = accounts.find(email);
    if (!account)
      throw new GoogleError('NOT_FOUND', `${email} is no service account: it has no identity token.`);
    const audience = query.get('audience') ?? '';
    if (audience === '') throw new GoogleError('INVALID_ARGUMENT', 'non-empty audience parameter required');
    return cloud.tokens.identityToken(account, audience);
  }

  function answer({ params, query, raw }: RouteRequest, response: ServerResponse, door: Door): void {
    demandHeaders(raw);
    const path = params.path ?? '';
    let entry: Entry | undefined = tree(door);
    for (const name of path.split('/').filter((part) => part !== '')) {
      entry = isFolder(entry) && Object.hasOwn(entry, name) ? entry[name] : undefined;
    }
    if (entry === undefined) throw new GoogleError('NOT_FOUND', `There is no ${ROOT}/${path}.`);
    send(response, render(entry, query));
  }

  const route = (name: string, path: string): Route => ({
    name,
    method: 'GET',
    path,
    handle: (request, response, { door }) => answer(request, response, door),
    refuse: (error, response) => send(response, { text: `${error.message}\n`, json: false }, error.http),
  });

  return {
    service: {
      name: 'metadata',
      host: 'metadata.google.internal',
      title: 'Metadata server',
      needsEnabling: false,
      routes: [
        {
          name: 'ping',
          method: 'GET',
          path: '/',
          handle: (_request, response) => send(response, { text: 'computeMetadata/\n', json: false }),
        },
        route('metadata.list', ROOT),
        route('metadata.list', `${ROOT}/`),
        route('metadata.get', `${ROOT}/{path=**}`),
      ],
    },
  };
}

interface Rendered {
  readonly text: string;
  readonly json: boolean;
}

function render(entry: Entry, query: URLSearchParams): Rendered {
  if (typeof entry === 'function') {
    const text = entry(query);
    return { text, json: text.startsWith('{') };
  }
  const wanted = query.get('alt');
  if (isFolder(entry)) {
    const json = query.get('recursive')?.toLowerCase() === 'true' && wanted !== 'text';
    return { text: json ? JSON.stringify(collect(entry)) : listing(entry), json };
  }
  if (wanted === 'json') return { text: JSON.stringify(entry), json: true };
  return { text: Array.isArray(entry) ? entry.join('\n') : String(entry), json: false };
}

/** Everything in a folder but what is made for each request. */
function collect(folder: Folder): object {
  const values = Object.entries(folder).flatMap(([name, entry]) => {
    if (typeof entry === 'function') return [];
    return [[camel(name), isFolder(entry) ? collect(entry) : entry]];
  });
  return Object.fromEntries(values);
}

function listing(folder: Folder): string {
  return Object.entries(folder)
    .map(([name, entry]) => `${name}${isFolder(entry) ? '/' : ''}\n`)
    .join('');
}

function isFolder(entry: Entry | undefined): entry is Folder {
  return typeof entry === 'object' && !Array.isArray(entry);
}

/** Emails stay as they are. */
function camel(name: string): string {
  return name.includes('@') ? name : name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function demandHeaders({ headers }: IncomingMessage): void {
  if (headers['x-forwarded-for'] !== undefined) {
    throw new GoogleError(
      'PERMISSION_DENIED',
      'Requests with the header "X-Forwarded-For" are not answered.',
    );
  }
  if (headers['metadata-flavor'] === 'Google') return;
  throw new GoogleError('PERMISSION_DENIED', 'Missing required header "Metadata-Flavor": "Google".');
}

function send(response: ServerResponse, { text, json }: Rendered, status = 200): void {
  response.writeHead(status, {
    'metadata-flavor': 'Google',
    server: 'Metadata Server for Serverless',
    'content-type': json ? 'application/json' : 'application/text',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}
