/** Brings infrastructure code from where it is, checks it, and keeps it under the name that its content gives it. */
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import type { Clock, Random } from '@service-director/shared/kit/clock.ts';
import type { BundleSource } from '@service-director/shared/model/bundle-source.ts';
import { writtenFor } from '@service-director/shared/model/described-code.ts';
import { AddressRefused, type AddressRules } from '../http/public-address.ts';
import type { Artifacts } from '../store/artifacts.ts';
import { BadBundle } from './bad-bundle.ts';
import { type BundleFile, bundleKey, digestOf, pack } from './bundle.ts';
import { badCode, fromGenerator } from './generator.ts';
import { fromGit } from './git.ts';
import { fromStorage } from './storage.ts';
import { filesOf } from './unpack.ts';

export interface Resolved {
  /** Under `bundles/<digest>` the bundle is kept. The whole one: `path` is a folder in it. */
  readonly digest: string;
  /** Of a Git repository: the commit that was taken. */
  readonly commit?: string;
  /** Of an object in Cloud Storage: the generation that was taken. */
  readonly generation?: string;
}

export interface Sources {
  /** Fetched, checked, kept; a digest that is kept already costs one read. Rejects with a CloudError, and with whatever the store and the signal say. */
  resolve(source: BundleSource, signal: AbortSignal): Promise<Resolved>;
}

export interface SourcesOptions extends AddressRules {
  readonly artifacts: Artifacts;
  readonly cloud: Cloud;
  readonly clock: Clock;
  readonly random: Random;
  /** IAC_GENERATOR_URL. */
  readonly generatorUrl: string | undefined;
  /** Where temporary folders may be made; made itself when missing. */
  readonly workRoot: string;
  readonly gitBinary?: string | undefined;
  /** Of the director; little of it is passed on to git. */
  readonly environment: Readonly<Record<string, string>>;
}

export function sources(options: SourcesOptions): Sources {
  const { artifacts, generatorUrl } = options;

  async function fetch(source: BundleSource, signal: AbortSignal): Promise<Found> {
    if ('digest' in source) return { kept: source.digest, files: await keptFiles(source.digest, artifacts) };
    if ('generator' in source)
      return { files: await fromGenerator(source.generator, { ...options, url: generatorUrl }, signal) };
    if ('storage' in source) return fromStorage(source.storage, options, signal);
    if ('module' in source || 'configuration' in source)
      return { files: [{ path: 'main.tf.json', content: Buffer.from(writtenFor(source)) }] };
    return fromGit(source, options, signal);
  }

  async function keep(bundle: Buffer): Promise<string> {
    const digest = digestOf(bundle);
    const key = bundleKey(digest);
    if ((await artifacts.read(key)) === undefined) await artifacts.write(key, bundle);
    return digest;
  }

  return {
    async resolve(source, signal) {
      try {
        const { files, kept, ...rest } = await fetch(source, signal);
        demandFolder(files, source.path);
        signal.throwIfAborted();
        return { digest: kept ?? (await keep(await pack(files))), ...rest };
      } catch (error) {
        throw told(error, source);
      }
    },
  };
}

interface Found extends Omit<Resolved, 'digest'> {
  readonly files: readonly BundleFile[];
  /** The digest that it is kept under already. */
  readonly kept?: string;
}

async function keptFiles(digest: string, artifacts: Artifacts): Promise<BundleFile[]> {
  const bundle = await artifacts.read(bundleKey(digest));
  if (bundle === undefined)
    throw new CloudError('not-found', `There is no bundle ${digest}`, { fix: 'send the code again' });
  if (digestOf(bundle) !== digest)
    throw new CloudError('internal', `The bundle ${digest} is not kept as it was sent`, {
      fix: 'send the code again',
    });
  return filesOf(bundle, digest);
}

function demandFolder(files: readonly BundleFile[], folder: string | undefined): void {
  const parts = (folder ?? '').split('/').filter((part) => part !== '' && part !== '.');
  if (parts.length === 0) return;
  const start = `${parts.join('/')}/`;
  if (!files.some(({ path }) => path.startsWith(start)))
    throw new CloudError('not-found', `The code has no folder ${parts.join('/')}`);
}

function told(error: unknown, source: BundleSource): unknown {
  if (error instanceof BadBundle)
    return 'generator' in source
      ? badCode(error)
      : new CloudError('invalid', error.message, { cause: error });
  if (error instanceof AddressRefused) return new CloudError('refused', error.message, { cause: error });
  return error;
}
