/** The registry's manifests and tags. */

import { sha256 } from '@service-director/shared/kit/hash.ts';
import { GoogleError } from '../../error.ts';
import { isDigest, type Manifest, readManifest } from '../../oci.ts';
import { sendJson } from '../../rest.ts';
import { type Contents, children, immutable, needs } from './contents.ts';
import { answer, type RegistryRoute, readText, type Target } from './exchange.ts';
import { isTag } from './names.ts';
import { digestInvalid, manifestInvalid, manifestUnknown, nameUnknown, RegistryError } from './refusals.ts';
import type { Repositories } from './repositories.ts';

/** As large as a manifest may be, in bytes. */
const LARGEST = 4 * 1024 * 1024;
const USUAL_TAGS = 1_000;

export function manifestRoutes(repositories: Repositories, contents: Contents): readonly RegistryRoute[] {
  function find({ name, repository, image }: Target, version: string) {
    const manifest = contents.find(repository, image, version);
    if (!manifest) throw manifestUnknown(name, version);
    return manifest;
  }

  /** Throws MANIFEST_BLOB_UNKNOWN when something that the manifest names was not pushed before. */
  function demandComplete({ repository, image }: Target, manifest: Manifest): void {
    const missing =
      needs(manifest).find(({ digest }) => !contents.findBlob(repository, digest))?.digest ??
      children(manifest).find((digest) => !contents.find(repository, image, digest));
    if (missing === undefined) return;
    throw new RegistryError(
      400,
      'MANIFEST_BLOB_UNKNOWN',
      `manifest references a manifest or blob unknown to the registry: ${missing}`,
      'INVALID_ARGUMENT',
    );
  }

  function put(target: Target, version: string, text: string, contentType: string): string {
    const { repository, image } = target;
    const manifest = parse(text, contentType);
    const digest = `sha256:${sha256(text)}`;
    if (isDigest(version) && version !== digest) {
      throw digestInvalid(`provided digest did not match uploaded content: ${version}, got ${digest}`);
    }
    if (!isDigest(version) && !isTag(version)) {
      throw new RegistryError(400, 'TAG_INVALID', `manifest tag is invalid: ${version}`, 'INVALID_ARGUMENT');
    }
    demandComplete(target, manifest);
    const before = contents.find(repository, image, version);
    const moves = !isDigest(version) && before?.digest !== digest;
    if (before && moves && repositories.hasImmutableTags(repository)) throw immutable(version, repository);
    contents.put(repository, image, text, manifest.mediaType);
    if (moves) contents.setTag(repository, image, version, digest);
    return digest;
  }

  /** Removes a tag, or a manifest that nothing names any more. */
  function remove(target: Target, version: string): void {
    const manifest = find(target, version);
    const { repository, image, digest } = manifest;
    const tags = contents.tags(repository, image).filter((tag) => tag.digest === digest);
    const [tag] = isDigest(version) ? tags : tags.filter((one) => one.tag === version);
    if (tag && repositories.hasImmutableTags(repository)) throw immutable(tag.tag, repository);
    if (tag && !isDigest(version)) {
      contents.dropTag(tag);
      return;
    }
    if (tag) throw dangling('TAG', `Manifest is still referenced by tag: ${tag.tag}`);
    const index = contents.indexOf(manifest);
    if (index) throw dangling('PARENT_IMAGE', `Manifest is still referenced by manifest: ${index.digest}`);
    contents.remove(manifest);
  }

  return [
    {
      name: 'manifests.get',
      method: 'GET',
      path: '/manifests/{reference}',
      permission: 'downloadArtifacts',
      handle(target, request, response) {
        const manifest = find(target, request.params.reference ?? '');
        response.writeHead(200, {
          'content-type': manifest.mediaType,
          'content-length': Buffer.byteLength(manifest.text),
          'docker-content-digest': manifest.digest,
          'docker-distribution-api-version': 'registry/2.0',
        });
        response.end(request.raw.method === 'HEAD' ? undefined : manifest.text);
      },
    },
    {
      name: 'manifests.put',
      method: 'PUT',
      path: '/manifests/{reference}',
      permission: 'uploadArtifacts',
      async handle(target, request, response) {
        const text = await readText(request, LARGEST);
        if (text === undefined) throw manifestInvalid('it is not UTF-8');
        const contentType = (request.raw.headers['content-type'] ?? '').split(';')[0]?.trim() ?? '';
        const digest = put(target, request.params.reference ?? '', text, contentType);
        answer(response, 201, {
          location: `/v2/${target.name}/manifests/${digest}`,
          'docker-content-digest': digest,
        });
      },
    },
    {
      name: 'manifests.delete',
      method: 'DELETE',
      path: '/manifests/{reference}',
      permission: 'deleteArtifacts',
      handle(target, request, response) {
        remove(target, request.params.reference ?? '');
        answer(response, 202, {});
      },
    },
    {
      name: 'tags.list',
      method: 'GET',
      path: '/tags/list',
      permission: 'downloadArtifacts',
      handle({ name, repository, image }, request, response) {
        if (contents.manifests(repository, image).length === 0) throw nameUnknown(`"${name}" not found`);
        const all = contents.tags(repository, image).map(({ tag }) => tag);
        const last = request.query.get('last');
        const rest = last === null ? all : all.filter((tag) => tag > last);
        const count = Number.parseInt(request.query.get('n') ?? '', 10);
        const shown = rest.slice(0, Number.isNaN(count) ? USUAL_TAGS : count);
        const end = shown.at(-1);
        if (end !== undefined && shown.length < rest.length) {
          response.setHeader('link', `</v2/${name}/tags/list?last=${end}&n=${shown.length}>; rel="next"`);
        }
        sendJson(response, 200, { name, tags: shown });
      },
    },
  ];
}

function parse(text: string, contentType: string): Manifest {
  try {
    return readManifest(text, contentType);
  } catch (error) {
    throw error instanceof GoogleError ? manifestInvalid(error.message) : error;
  }
}

/** Google's registry has codes of its own for what still hangs on a manifest. */
function dangling(what: 'TAG' | 'PARENT_IMAGE', message: string): RegistryError {
  return new RegistryError(400, `GOOGLE_MANIFEST_DANGLING_${what}`, message, 'FAILED_PRECONDITION');
}
