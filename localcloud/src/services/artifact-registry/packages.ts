/** What the API tells of the images in a repository: as Docker images, and as packages with versions and tags. */
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError, invalid, notFound } from '../../error.ts';
import { parseFilter } from '../../filter.ts';
import { isObject, type JsonObject } from '../../json.ts';
import { isDigest } from '../../oci.ts';
import { page } from '../../pages.ts';
import type { Method } from '../../service.ts';
import { type Contents, immutable, order, read, type StoredManifest, type StoredTag } from './contents.ts';
import { imageOf, isTag, packageId, registryUri, repositoryOf } from './names.ts';
import { EMPTY, METADATA, PAGES, type Repositories } from './repositories.ts';

export function packageMethods(
  cloud: LocalCloud,
  repositories: Repositories,
  contents: Contents,
): Record<string, Method> {
  /** Asks for the permission on the repository, and does the work once the repository is known to exist. */
  function method(
    permission: string,
    field: string,
    handle: (request: JsonObject, name: string, repository: string) => JsonObject,
  ): Method {
    const nameOf = (request: JsonObject): string => {
      const [outer = '', inner] = field.split('.');
      const value = request[outer];
      return String((inner === undefined ? value : isObject(value) && value[inner]) || '');
    };
    return {
      access: (request) => ({
        permission: `artifactregistry.${permission}`,
        resource: repositoryOf(nameOf(request)),
      }),
      handle(request) {
        const name = nameOf(request);
        const repository = repositories.get(repositoryOf(name)).name;
        return handle(request, name, repository);
      },
    };
  }

  function list(request: JsonObject, field: string, resources: readonly JsonObject[]): JsonObject {
    const found = resources.filter(parseFilter(String(request.filter ?? '')));
    const [by, direction] = String(request.orderBy ?? '').split(/\s+/);
    if (by) found.sort((a, b) => order(fieldOf(a, by), fieldOf(b, by)));
    if (direction === 'desc') found.reverse();
    const places = new Map(found.map((row, index) => [row, String(index).padStart(9, '0')]));
    const keyOf = (row: JsonObject): string => (by ? (places.get(row) ?? '') : String(row.name));
    const { items, nextPageToken } = page(found, keyOf, request, PAGES);
    return { [field]: items, nextPageToken };
  }

  function tagsOf({ repository, image, digest }: StoredManifest): StoredTag[] {
    return contents.tags(repository, image).filter((tag) => tag.digest === digest);
  }

  function updateTime(manifest: StoredManifest): string {
    const times = tagsOf(manifest).map((tag) => tag.updateTime);
    return [manifest.uploadTime, ...times].sort().at(-1) ?? manifest.uploadTime;
  }

  function dockerImage(manifest: StoredManifest): JsonObject {
    const { repository, image, digest, mediaType, uploadTime } = manifest;
    const parsed = read(manifest);
    const { created } = contents.configOf(manifest);
    return {
      name: `${repository}/dockerImages/${packageId(image)}@${digest}`,
      uri: `${registryUri(repository)}/${image}@${digest}`,
      tags: tagsOf(manifest).map(({ tag }) => tag),
      imageSizeBytes: String(contents.sizeOfImage(manifest)),
      uploadTime,
      updateTime: updateTime(manifest),
      mediaType,
      ...(typeof created === 'string' ? { buildTime: created } : {}),
      ...(parsed.type === 'image'
        ? { artifactType: parsed.artifactType || parsed.config.mediaType }
        : { imageManifests: parsed.manifests.map(({ platform, ...rest }) => platformOf(rest, platform)) }),
    };
  }

  function packages(repository: string): JsonObject[] {
    const byImage = Map.groupBy(contents.manifests(repository), ({ image }) => image);
    return [...byImage].map(([image, manifests]) => ({
      name: `${repository}/packages/${packageId(image)}`,
      createTime: manifests.map(({ uploadTime }) => uploadTime).sort()[0] ?? '',
      updateTime: manifests.map(updateTime).sort().at(-1) ?? '',
    }));
  }

  function version(manifest: StoredManifest, view: unknown): JsonObject {
    const { repository, image, digest, mediaType, uploadTime } = manifest;
    return {
      name: `${repository}/packages/${packageId(image)}/versions/${digest}`,
      createTime: uploadTime,
      updateTime: updateTime(manifest),
      metadata: {
        name: `${repository}/dockerImages/${packageId(image)}@${digest}`,
        imageSizeBytes: String(contents.sizeOfImage(manifest)),
        mediaType,
      },
      ...(view === 'FULL' ? { relatedTags: tagsOf(manifest).map(tagResource) } : {}),
    };
  }

  function getVersion(name: string): StoredManifest {
    const id = name.split('/')[9] ?? '';
    const manifest = isDigest(id) ? contents.find(repositoryOf(name), imageOf(name), id) : undefined;
    if (!manifest) throw notFound(name);
    return manifest;
  }

  function getTag(name: string): StoredTag {
    const id = name.split('/')[9] ?? '';
    const tag = contents.tags(repositoryOf(name), imageOf(name)).find((row) => row.tag === id);
    if (!tag) throw notFound(name);
    return tag;
  }

  function imagesOf(repository: string, name: string): StoredManifest[] {
    const manifests = contents.manifests(repository, imageOf(name));
    if (manifests.length === 0) throw notFound(name.split('/').slice(0, 8).join('/'));
    return manifests;
  }

  /** What keeps a version from being deleted. */
  function demandDeletable(manifest: StoredManifest, force: boolean): void {
    const [tag] = tagsOf(manifest);
    if (tag && repositories.hasImmutableTags(manifest.repository)) {
      throw immutable(tag.tag, manifest.repository);
    }
    if (tag && !force) {
      throw new GoogleError(
        'FAILED_PRECONDITION',
        `Cannot delete version "${manifest.digest}" because it is tagged ("${tag.tag}"). Delete the tag first, or use force.`,
      );
    }
    const index = contents.indexOf(manifest);
    if (index) {
      throw new GoogleError(
        'FAILED_PRECONDITION',
        `Cannot delete version "${manifest.digest}" because the manifest "${index.digest}" refers to it.`,
      );
    }
  }

  function operation(name: string, work: () => void): JsonObject {
    return cloud.operations.start({
      parent: name.split('/').slice(0, 4).join('/'),
      metadata: METADATA,
      async work() {
        work();
        return EMPTY;
      },
    });
  }

  function setTag(repository: string, name: string, tag: string, versionName: string): JsonObject {
    const manifest = getVersion(versionName);
    if (manifest.repository !== repository || manifest.image !== imageOf(name)) {
      throw invalid(`Version "${versionName}" is not in the package of the tag.`, 'tag.version');
    }
    return tagResource(contents.setTag(repository, manifest.image, tag, manifest.digest));
  }

  return {
    ListDockerImages: method('dockerimages.list', 'parent', (request, _name, repository) => {
      const all = contents.manifests(repository);
      const shown = all.filter((manifest) => tagsOf(manifest).length > 0 || !contents.indexOf(manifest));
      return list(request, 'dockerImages', shown.map(dockerImage));
    }),
    GetDockerImage: method('dockerimages.get', 'name', (_request, name, repository) => {
      const [image = '', digest = ''] = imageId(name).split('@');
      const manifest = isDigest(digest) ? contents.find(repository, image, digest) : undefined;
      if (!manifest) throw notFound(name);
      return dockerImage(manifest);
    }),
    ListPackages: method('packages.list', 'parent', (request, _name, repository) =>
      list(request, 'packages', packages(repository)),
    ),
    GetPackage: method('packages.get', 'name', (_request, name, repository) => {
      const wanted = `${repository}/packages/${packageId(imageOf(name))}`;
      const found = packages(repository).find((one) => one.name === wanted);
      if (!found) throw notFound(name);
      return found;
    }),
    DeletePackage: method('packages.delete', 'name', (_request, name, repository) => {
      imagesOf(repository, name);
      const [tag] = contents.tags(repository, imageOf(name));
      if (tag && repositories.hasImmutableTags(repository)) throw immutable(tag.tag, repository);
      return operation(name, () => {
        for (const manifest of contents.manifests(repository, imageOf(name))) contents.remove(manifest);
      });
    }),
    ListVersions: method('versions.list', 'parent', (request, name, repository) =>
      list(
        request,
        'versions',
        imagesOf(repository, name).map((manifest) => version(manifest, request.view)),
      ),
    ),
    GetVersion: method('versions.get', 'name', (request, name) => version(getVersion(name), request.view)),
    DeleteVersion: method('versions.delete', 'name', (request, name) => {
      const manifest = getVersion(name);
      demandDeletable(manifest, request.force === true);
      return operation(name, () => contents.remove(manifest));
    }),
    ListTags: method('tags.list', 'parent', (request, name, repository) => {
      imagesOf(repository, name);
      return list(request, 'tags', contents.tags(repository, imageOf(name)).map(tagResource));
    }),
    GetTag: method('tags.get', 'name', (_request, name) => tagResource(getTag(name))),
    CreateTag: method('tags.create', 'parent', (request, name, repository) => {
      const tag = String(request.tagId ?? '');
      if (!isTag(tag)) throw invalid(`Invalid tag ID "${tag}".`, 'tag_id');
      if (contents.tags(repository, imageOf(name)).some((row) => row.tag === tag)) {
        throw new GoogleError('ALREADY_EXISTS', `Tag "${name}/tags/${tag}" already exists.`);
      }
      return setTag(repository, name, tag, versionOf(request));
    }),
    UpdateTag: method('tags.update', 'tag.name', (request, name, repository) => {
      const tag = getTag(name);
      if (repositories.hasImmutableTags(repository)) throw immutable(tag.tag, repository);
      return setTag(repository, name, tag.tag, versionOf(request));
    }),
    DeleteTag: method('tags.delete', 'name', (_request, name, repository) => {
      const tag = getTag(name);
      if (repositories.hasImmutableTags(repository)) throw immutable(tag.tag, repository);
      contents.dropTag(tag);
      return {};
    }),
  };
}

function tagResource({ repository, image, tag, digest }: StoredTag): JsonObject {
  const parent = `${repository}/packages/${packageId(image)}`;
  return { name: `${parent}/tags/${tag}`, version: `${parent}/versions/${digest}` };
}

function versionOf(request: JsonObject): string {
  return isObject(request.tag) ? String(request.tag.version ?? '') : '';
}

/** `team/api@sha256:…` of `…/dockerImages/team%2Fapi@sha256:…`. */
function imageId(name: string): string {
  return (name.split('/')[7] ?? '').replace(/%2f/gi, '/');
}

function platformOf(descriptor: { digest: string; mediaType: string }, platform: JsonObject): JsonObject {
  const { architecture, os, variant, 'os.version': osVersion } = platform;
  const { digest, mediaType } = descriptor;
  return { digest, mediaType, architecture, os, variant, osVersion };
}

/** A field as text that sorts, named as in the proto or in JSON. */
function fieldOf(resource: JsonObject, name: string): string {
  const camel = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return String(resource[name] ?? resource[camel] ?? '');
}
