/** The registry: what container tools push to and pull from. https://github.com/opencontainers/distribution-spec */
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { LocalCloud } from '../../cloud.ts';
import { bearer } from '../../gate.ts';
import { isDigest } from '../../oci.ts';
import { sendJson } from '../../rest.ts';
import type { Call, Route, RouteRequest } from '../../service.ts';
import type { Contents } from './contents.ts';
import { answer, type RegistryRoute, type Target } from './exchange.ts';
import { manifestRoutes } from './manifests.ts';
import { isImageName } from './names.ts';
import { blobUnknown, digestInvalid, nameInvalid, nameUnknown, refuse, unauthorized } from './refusals.ts';
import type { Repositories } from './repositories.ts';
import { announced, openUploads, type Upload } from './uploads.ts';

/** Tokens that the registry gives out are good for so long, in seconds. */
const TOKEN_SECONDS = 3_600;

export function distribution(
  cloud: LocalCloud,
  repositories: Repositories,
  contents: Contents,
): { routes: readonly Route[]; start(): void } {
  const uploads = openUploads(join(cloud.store.dir, 'uploads'), cloud.store.blobs);

  /** Where a name leads; undefined when there is no such repository. */
  function find(name: string, host: string | undefined): Target | undefined {
    const [project = '', id = '', ...image] = name.split('/');
    if (image.length === 0)
      throw nameInvalid(`invalid repository name: ${name} is not PROJECT/REPOSITORY/IMAGE`);
    if (!isImageName(image.join('/')) || name.length > 255)
      throw nameInvalid(`invalid repository name: ${name}`);
    const location = /^([a-z0-9-]+)-docker\.pkg\.dev/.exec(host ?? '')?.[1];
    const found = repositories
      .named(project, id)
      .filter((repository) => location === undefined || repository.name.split('/')[3] === location);
    const [repository, other] = found.map((one) => one.name);
    if (repository !== undefined && other !== undefined) {
      throw nameInvalid(
        `invalid repository name: project ${project} has "${id}" in several locations; say which with the header "Host: LOCATION-docker.pkg.dev"`,
      );
    }
    return repository === undefined ? undefined : { name, repository, image: image.join('/') };
  }

  function targetOf(request: RouteRequest): Target {
    const name = request.params.name ?? '';
    const target = find(name, request.raw.headers.host);
    if (!target) throw nameUnknown(`Repository "${name.split('/')[1]}" not found`);
    return target;
  }

  function route({ name, method, path, permission, handle }: RegistryRoute): Route {
    return {
      name: `registry.${name}`,
      method,
      path: `/v2/{name=**}${path}`,
      access(request) {
        demandKnownUser(request);
        const image = request.params.name ?? '';
        const repository =
          find(image, request.raw.headers.host)?.repository ??
          `projects/${image.split('/')[0]}/locations/-/repositories/${image.split('/')[1]}`;
        return { permission: `artifactregistry.repositories.${permission}`, resource: repository };
      },
      handle: (request, response, call) => handle(targetOf(request), request, response, call),
      refuse,
    };
  }

  function uploadGoesOn(response: ServerResponse, status: number, { name }: Target, upload: Upload): void {
    answer(response, status, {
      location: `/v2/${name}/blobs/uploads/${upload.id}`,
      range: `0-${Math.max(upload.size - 1, 0)}`,
      'docker-upload-uuid': upload.id,
    });
  }

  function blobIsThere(response: ServerResponse, { name }: Target, digest: string): void {
    answer(response, 201, { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest });
  }

  /** Takes a blob over from another repository; false when the caller may not read it there, or it is not there. */
  function mount(target: Target, request: RouteRequest, call: Call): boolean {
    const digest = request.query.get('mount');
    const from = request.query.get('from');
    if (digest === null || from === null || !isDigest(digest)) return false;
    const source = find(from, request.raw.headers.host);
    const blob = source && contents.findBlob(source.repository, digest);
    if (!blob) return false;
    const permission = 'artifactregistry.repositories.downloadArtifacts';
    if (cloud.iam.test(call.identity, [permission], source.repository).length === 0) return false;
    contents.addBlob(target.repository, blob);
    return true;
  }

  const routes: readonly RegistryRoute[] = [
    {
      name: 'blobs.get',
      method: 'GET',
      path: '/blobs/{digest}',
      permission: 'downloadArtifacts',
      async handle({ repository }, request, response) {
        const digest = digestOf(request.params.digest);
        const blob = contents.findBlob(repository, digest);
        if (!blob) throw blobUnknown(digest);
        const range = rangeOf(request.raw.headers.range, blob.size);
        response.writeHead(range ? 206 : 200, {
          'content-type': 'application/octet-stream',
          'content-length': range ? range.end - range.start + 1 : blob.size,
          'docker-content-digest': digest,
          'accept-ranges': 'bytes',
          ...(range ? { 'content-range': `bytes ${range.start}-${range.end}/${blob.size}` } : {}),
        });
        if (request.raw.method === 'HEAD') response.end();
        else await pipeline(cloud.store.blobs.read(digest, range), response);
      },
    },
    {
      name: 'blobs.delete',
      method: 'DELETE',
      path: '/blobs/{digest}',
      permission: 'deleteArtifacts',
      handle({ repository }, request, response) {
        const digest = digestOf(request.params.digest);
        if (!contents.findBlob(repository, digest)) throw blobUnknown(digest);
        contents.dropBlob(repository, digest);
        answer(response, 202, {});
      },
    },
    {
      name: 'uploads.begin',
      method: 'POST',
      path: '/blobs/uploads/',
      permission: 'uploadArtifacts',
      async handle(target, request, response, call) {
        const digest = request.query.get('digest');
        if (digest !== null) {
          const blob = await cloud.store.blobs.put(request.raw);
          contents.addBlob(target.repository, announced(cloud.store.blobs, blob, digestOf(digest)));
          blobIsThere(response, target, digest);
        } else if (mount(target, request, call)) {
          blobIsThere(response, target, request.query.get('mount') ?? '');
        } else uploadGoesOn(response, 202, target, uploads.begin(target.repository));
      },
    },
    {
      name: 'uploads.get',
      method: 'GET',
      path: '/blobs/uploads/{id}',
      permission: 'uploadArtifacts',
      handle(target, request, response) {
        uploadGoesOn(response, 204, target, uploads.get(target.repository, request.params.id ?? ''));
      },
    },
    {
      name: 'uploads.append',
      method: 'PATCH',
      path: '/blobs/uploads/{id}',
      permission: 'uploadArtifacts',
      async handle(target, request, response) {
        const upload = uploads.get(target.repository, request.params.id ?? '');
        const start = /^(?:bytes )?(\d+)-/.exec(request.raw.headers['content-range'] ?? '')?.[1];
        const grown = await uploads.append(
          upload,
          request.raw,
          start === undefined ? undefined : Number(start),
        );
        uploadGoesOn(response, 202, target, grown);
      },
    },
    {
      name: 'uploads.finish',
      method: 'PUT',
      path: '/blobs/uploads/{id}',
      permission: 'uploadArtifacts',
      async handle(target, request, response) {
        const upload = uploads.get(target.repository, request.params.id ?? '');
        const digest = digestOf(request.query.get('digest') ?? '');
        const whole = await uploads.append(upload, request.raw, undefined);
        contents.addBlob(target.repository, await uploads.finish(whole, digest));
        blobIsThere(response, target, digest);
      },
    },
    {
      name: 'uploads.drop',
      method: 'DELETE',
      path: '/blobs/uploads/{id}',
      permission: 'uploadArtifacts',
      handle(target, request, response) {
        uploads.drop(uploads.get(target.repository, request.params.id ?? ''));
        answer(response, 204, {});
      },
    },
    ...manifestRoutes(repositories, contents),
  ];

  return {
    routes: [...doorRoutes(cloud), ...routes.map(route)],
    start: () => uploads.clear(),
  };
}

/** Where a client learns that it needs a token, and gets one. */
function doorRoutes(cloud: LocalCloud): Route[] {
  const nothingAsked = (request: RouteRequest) => {
    demandKnownUser(request);
    return [];
  };
  const ping = (path: string): Route => ({
    name: 'registry.ping',
    method: 'GET',
    path,
    access: nothingAsked,
    handle(request, response) {
      if (request.raw.headers.authorization === undefined) throw unauthorized('authentication required');
      sendJson(response.setHeader('docker-distribution-api-version', 'registry/2.0'), 200, {});
    },
    refuse,
  });
  const token: Route = {
    name: 'registry.token',
    method: 'GET',
    path: '/v2/token',
    access: nothingAsked,
    handle(request, response, call) {
      const given = bearer(request.raw.headers.authorization);
      const token = given ?? cloud.tokens.access(call.identity, TOKEN_SECONDS);
      sendJson(response, 200, { token, access_token: token, expires_in: TOKEN_SECONDS });
    },
    refuse,
  };
  return [ping('/v2'), ping('/v2/'), token];
}

function demandKnownUser({ raw }: RouteRequest): void {
  const header = raw.headers.authorization;
  if (header === undefined || bearer(header) !== undefined) return;
  throw unauthorized(
    'the local cloud takes a bearer token, or the user oauth2accesstoken with an access token',
  );
}

function digestOf(text = ''): string {
  if (!isDigest(text)) throw digestInvalid(`provided digest is no SHA-256 digest: ${text}`);
  return text;
}

/** One range of bytes, both ends inclusive; undefined when the whole is asked for. */
function rangeOf(header: string | undefined, size: number): { start: number; end: number } | undefined {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(header ?? '') ?? [];
  if (first === undefined || Number(first) >= size) return undefined;
  return { start: Number(first), end: last ? Math.min(Number(last), size - 1) : size - 1 };
}
