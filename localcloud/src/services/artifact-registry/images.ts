/** Images as the other APIs of the local cloud use them: Cloud Build pushes, Cloud Run pulls. */
import { sha256 } from '@service-director/shared/kit/hash.ts';
import type { LocalCloud } from '../../cloud.ts';
import { invalid, notFound } from '../../error.ts';
import type { Image, Images } from '../../internal.ts';
import { architecture, manifestOf, OCI_MANIFEST } from '../../oci.ts';
import { type Contents, immutable, read, type StoredManifest } from './contents.ts';
import { isTag, type Reference, readReference, registryUri, repositoryName } from './names.ts';
import type { Repositories } from './repositories.ts';

export function openImages(cloud: LocalCloud, repositories: Repositories, contents: Contents): Images {
  const nameOf = ({ project, location, repository }: Reference): string =>
    repositoryName(cloud.projects.find(project)?.projectId ?? project, location, repository);

  /** The image that an index has for this machine; an image itself. */
  function forHere(manifest: StoredManifest): StoredManifest | undefined {
    const parsed = read(manifest);
    if (parsed.type === 'image') return manifest;
    const fitting = parsed.manifests.find(
      ({ platform }) => platform.os === 'linux' && platform.architecture === architecture(),
    );
    return fitting && contents.find(manifest.repository, manifest.image, fitting.digest);
  }

  function describe(manifest: StoredManifest): Image | undefined {
    const image = forHere(manifest);
    const parsed = image && read(image);
    if (!image || parsed?.type !== 'image') return undefined;
    return {
      reference: `${registryUri(manifest.repository)}/${manifest.image}@${manifest.digest}`,
      digest: manifest.digest,
      config: contents.configOf(image),
      layers: parsed.layers.map(({ digest, size }) => ({ digest, size })),
    };
  }

  return {
    find(text) {
      const reference = readReference(text);
      const manifest = contents.find(nameOf(reference), reference.image, reference.version);
      return manifest && describe(manifest);
    },
    push(text, { config, layers }) {
      const reference = readReference(text);
      const { name } = repositories.get(nameOf(reference));
      const { image, version } = reference;
      if (!isTag(version)) throw invalid(`An image is pushed to a tag, not to a digest: "${text}".`);
      const json = JSON.stringify(manifestOf({ config, layers }));
      const before = contents.find(name, image, version);
      const same = before?.digest === `sha256:${sha256(json)}`;
      if (before && !same && repositories.hasImmutableTags(name)) throw immutable(version, name);
      for (const blob of [config, ...layers]) contents.addBlob(name, blob);
      const manifest = contents.put(name, image, json, OCI_MANIFEST);
      if (!same) contents.setTag(name, image, version, manifest.digest);
      const pushed = describe(manifest);
      if (!pushed) throw notFound(text);
      return pushed;
    },
    repositoryOf: (text) => nameOf(readReference(text)),
  };
}
