/** A registry of npm packages, as far as tests need one: so they depend on no network, and see what is asked of it. */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { archiveOf } from './tar.fixture.ts';

export interface NpmRegistry {
  readonly url: string;
  /** Paths of the archives that were fetched. */
  readonly fetched: string[];
  /** A package.json's dependency on a package of this registry, and the lockfile for it. */
  readonly manifest: object;
  readonly lockfile: object;
  close(): void;
}

/** Serves one package, `tiny` 1.0.0, that exports the number 42. */
export async function openNpmRegistry(): Promise<NpmRegistry> {
  const archive = await archiveOf([
    { name: 'package/package.json', data: JSON.stringify({ name: 'tiny', version: '1.0.0' }) },
    { name: 'package/index.js', data: 'module.exports = 42;\n' },
  ]);
  const integrity = `sha512-${createHash('sha512').update(archive).digest('base64')}`;
  const fetched: string[] = [];
  const server = createServer((request, response) => {
    if (request.url !== '/tiny/-/tiny-1.0.0.tgz') {
      response.writeHead(404).end('{}');
      return;
    }
    fetched.push(request.url);
    response.end(archive);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const root = { name: 'app', version: '1.0.0', dependencies: { tiny: '1.0.0' } };
  return {
    url,
    fetched,
    manifest: root,
    lockfile: {
      name: 'app',
      version: '1.0.0',
      lockfileVersion: 3,
      requires: true,
      packages: {
        '': root,
        'node_modules/tiny': { version: '1.0.0', resolved: `${url}/tiny/-/tiny-1.0.0.tgz`, integrity },
      },
    },
    close: () => server.close(),
  };
}
