/** Images as small as they can be: a configuration with a line of code, and no layers. */
import { createHash } from 'node:crypto';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

/** Answers everything with 200. */
export const SERVES = `require('node:http').createServer((_, response) => response.end('good')).listen(process.env.PORT)`;
export const CRASHES = `process.exit(3)`;

/** Pushes an image that runs the code, as a container tool would; returns its name with the digest. */
export async function pushImage(
  { origin, repository, name }: { origin: string; repository: string; name: string },
  code: string,
): Promise<string> {
  const [, ...path] = repository.split('/');
  const base = `${origin}/v2/${path.join('/')}/${name}`;
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: { Entrypoint: ['node', '--eval', code] },
      rootfs: { type: 'layers', diff_ids: [] },
    }),
  );
  const digest = `sha256:${createHash('sha256').update(config).digest('hex')}`;
  await demand(await fetch(`${base}/blobs/uploads/?digest=${digest}`, { method: 'POST', body: config }));
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: config.length },
    layers: [],
  };
  const put = await fetch(`${base}/manifests/latest`, {
    method: 'PUT',
    headers: { 'content-type': MANIFEST },
    body: JSON.stringify(manifest),
  });
  await demand(put);
  return `${repository}/${name}@${put.headers.get('docker-content-digest')}`;
}

async function demand(response: Response): Promise<void> {
  if (!response.ok) throw new Error(`${response.url} answers ${response.status}: ${await response.text()}`);
}
