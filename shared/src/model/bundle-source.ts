/** Where infrastructure code comes from, when it is not on the machine that asks. */
import { z } from 'zod';
import { DescribedConfiguration, DescribedModule } from './described-code.ts';
import { quote } from './diagnostic.ts';

/** `path` is the folder in it that is meant; all else comes along, since modules may refer to it. */
export type BundleSource =
  /** A bundle that is kept already. */
  | { readonly digest: string; readonly path?: string | undefined }
  /** A job of the generator that the director is set up with. */
  | { readonly generator: string; readonly path?: string | undefined }
  /** `gs://bucket/object`, and `#generation` for exactly that one. */
  | { readonly storage: string; readonly path?: string | undefined }
  /** `https://…`, `ssh://…` or `git@host:path`. The ref is a branch, a tag or a commit; by default what the repository takes for its main branch. */
  | {
      readonly git: string;
      readonly ref?: string | undefined;
      readonly path?: string | undefined;
    }
  /** Not brought at all: written by the director from what is said here. */
  | DescribedModule
  | DescribedConfiguration;

export interface StorageAddress {
  readonly bucket: string;
  readonly object: string;
  readonly generation: string | undefined;
}

export interface GitAddress {
  readonly scheme: 'https' | 'ssh';
  readonly host: string;
  /** Undefined: the scheme's own. */
  readonly port: number | undefined;
}

const BUCKET = '[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]';
const STORAGE = new RegExp(
  `^gs://(?<bucket>${BUCKET})/(?<object>(?!-)\\P{Cc}+?)(#(?<generation>\\d{1,20}))?$`,
  'u',
);

/** What becomes part of a command line, or of a message, has no character that means something to either. */
const HOST = '(?<host>[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)';
const PORT = '(:(?<port>\\d{1,5}))?';
const USER = '[A-Za-z0-9_][\\w.-]{0,63}@';
const REPOSITORY = '[\\w.~][\\w.~/@+%-]{0,999}';
const HTTPS = new RegExp(`^https://${HOST}${PORT}/${REPOSITORY}$`);
const SSH = new RegExp(`^ssh://(${USER})?${HOST}${PORT}/${REPOSITORY}$`);
const SHORT_SSH = new RegExp(`^${USER}${HOST}:/?${REPOSITORY}$`);

/** Undefined for what is no object of Cloud Storage. */
export function storageAddress(text: string): StorageAddress | undefined {
  const { bucket, object, generation } = STORAGE.exec(text)?.groups ?? {};
  if (bucket === undefined || object === undefined) return undefined;
  return Buffer.byteLength(object) > 1_024 ? undefined : { bucket, object, generation };
}

/** Undefined for what is no address of a repository, or carries a password. */
export function gitAddress(text: string): GitAddress | undefined {
  const https = HTTPS.exec(text)?.groups;
  const { host, port } = https ?? SSH.exec(text)?.groups ?? SHORT_SSH.exec(text)?.groups ?? {};
  if (host === undefined || host.includes('..') || Number(port ?? 1) > 65_535) return undefined;
  return { scheme: https ? 'https' : 'ssh', host, port: port === undefined ? undefined : Number(port) };
}

const Folder = z
  .string()
  .max(500)
  .refine((path) => path.split('/').every((part) => /^[\w.@+=-]+$/.test(part) && !/^-|^\.\.$/.test(part)), {
    error: (issue) =>
      `${quote(issue.input)} is no folder of a bundle: names of letters, digits and _ . @ + = - with a slash between, without ".." and without a hyphen at their beginning`,
  })
  .meta({ description: 'The folder in the code that is meant', examples: ['modules/network'] });

const Digest = z
  .string()
  .regex(/^[0-9a-f]{64}$/, {
    error: (issue) => `${quote(issue.input)} is no digest of a bundle: 64 hex digits in lower case`,
  })
  .meta({ description: 'The SHA-256 of a bundle that the director keeps' });

const GeneratorJob = z
  .string()
  .regex(/^\w[\w.:-]{0,199}$/, {
    error: (issue) =>
      `${quote(issue.input)} is no job of a generator: at most 200 letters, digits or any of _ . : -, beginning with a letter or digit`,
  })
  .meta({ description: 'A job of the generator at IAC_GENERATOR_URL' });

const StorageObject = z
  .string()
  .refine((text) => storageAddress(text) !== undefined, {
    error: (issue) =>
      `${quote(issue.input)} is no object of Cloud Storage; write it like gs://bucket/code.tar.gz, or gs://bucket/code.tar.gz#1712345678901234 for one generation`,
  })
  .meta({ description: 'A .tar.gz, .tgz, .zip or .tf', examples: ['gs://bucket/network.tar.gz'] });

const Repository = z
  .string()
  .refine((text) => gitAddress(text) !== undefined, {
    error: (issue) =>
      `${withoutPassword(quote(issue.input))} is no repository; write it like https://host/path.git, ssh://git@host/path.git or git@host:path.git, without a password`,
  })
  .meta({ description: 'A Git repository', examples: ['https://example.com/network.git'] });

const Ref = z
  .string()
  .refine((ref) => /^\w[\w./@+#-]{0,199}$/.test(ref) && !/\.\.|@\{|\/\/|[/.]$|\.lock$/.test(ref), {
    error: (issue) => `${quote(issue.input)} is no branch, tag or commit`,
  })
  .meta({ description: 'A branch, a tag or a commit', examples: ['main', 'v1.2.0'] });

const path = Folder.optional();

export const BundleSource: z.ZodType<BundleSource> = z.union(
  [
    z.strictObject({ digest: Digest, path }),
    z.strictObject({ generator: GeneratorJob, path }),
    z.strictObject({ storage: StorageObject, path }),
    z.strictObject({ git: Repository, ref: Ref.optional(), path }),
    DescribedModule,
    DescribedConfiguration,
  ],
  {
    error:
      'say where the code is: exactly one of digest, generator, storage or git, and path for a folder in it; or what it is: a module, with variables and outputs, or a configuration',
  },
);

/** The text may be a URL in which somebody wrote one: it is for messages. */
function withoutPassword(text: string): string {
  return text.replace(/[^/"]*@/, '…@');
}
