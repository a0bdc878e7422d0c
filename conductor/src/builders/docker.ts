/** Builds with a container tool of this machine, from the Dockerfile in the source. */

import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from '@service-director/shared/kit/process.ts';
import { Failure } from '../failure.ts';
import type { Builder } from './builder.ts';
import { digestOf } from './registry.ts';

/** Undefined when Docker can build here; else why it cannot. */
export async function whyNoDocker(env: Readonly<Record<string, string>>): Promise<string | undefined> {
  try {
    const { code, stderr } = await run('docker', ['info', '--format', '{{.ServerVersion}}'], { env });
    return code === 0 ? undefined : `docker info says: ${stderr.trim().split('\n')[0]}`;
  } catch {
    return 'there is no docker on this machine';
  }
}

export function docker(env: Readonly<Record<string, string>>): Builder {
  return async (request, context) => {
    const { name, deployment, source, onLine } = request;
    const why = await whyNoDocker(env);
    if (why !== undefined)
      throw new Failure(`The image of ${name} cannot be built with Docker: ${why}`, {
        fix: 'leave out --builder docker: Cloud Build needs nothing here',
      });
    const folder = await mkdtemp(join(tmpdir(), 'conductor-build-'));
    try {
      const archive = join(folder, 'source.tar.gz');
      await pipeline(source.archive(), createWriteStream(archive));
      // Another name for the same registry where the cloud is local: Docker takes plain HTTP from this machine only.
      const image = pushedName(deployment.image, context.reach.endpoint);
      const tagged = `${image}:${source.tag}`;
      await demand(['build', '--file', join(source.module, 'Dockerfile'), '--tag', tagged, '-'], archive);
      await demand(['push', tagged]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    const digest = await digestOf(deployment, source.tag, context.reach.cloud);
    if (!digest) throw new Failure(`The image of ${name} was pushed and is not in the registry`);
    return digest;

    async function demand(args: readonly string[], stdin?: string): Promise<void> {
      const command =
        stdin === undefined
          ? (['docker', args] as const)
          : (['sh', ['-c', 'exec docker "$@" < "$0"', stdin, ...args]] as const);
      const { code, stderr } = await run(command[0], command[1], { env, onLine, signal: context.signal });
      if (code !== 0)
        throw new Failure(
          `docker ${args[0]} of ${name} failed: ${stderr.trim().split('\n').slice(-3).join(' ')}`,
        );
    }
  };
}

function pushedName(image: string, endpoint: string | undefined): string {
  return endpoint === undefined ? image : image.replace(/^[^/]+/, new URL(endpoint).host);
}
