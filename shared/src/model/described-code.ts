/**
 * Code that is described instead of brought: a module that lies elsewhere and is to be called, or the configuration
 * itself in the JSON form of the tool's language.
 *
 * What is written for it is one file, with nothing beside it: a folder is never what it refers to.
 */
import { z } from 'zod';
import { canonicalJson } from '../kit/hash.ts';
import { isDeeper } from '../kit/json-depth.ts';
import { quote } from './diagnostic.ts';

/** A module that others keep, called with the variables that the module of the architecture has. */
export interface DescribedModule {
  readonly module: {
    /** As the tool takes it: of a registry, `network/google`; of a repository, `git::https://…`; of an archive, `https://….zip`. */
    readonly source: string;
    /** Which versions of a registry will do: `~> 3.1`. */
    readonly version?: string | undefined;
  };
  /** Those that are passed on beside those that have a value: what TF_VAR_… of the director says, for one. */
  readonly variables?: readonly string[] | undefined;
  /** Of the module, handed on under the same names. One that is sensitive there must be called so here. */
  readonly outputs?: readonly DescribedOutput[] | undefined;
  readonly path?: undefined;
}

export type DescribedOutput = string | { readonly name: string; readonly sensitive: boolean };

/** What stands in it is the tool's: `resource`, `variable`, `output`, … */
export interface DescribedConfiguration {
  readonly configuration: Readonly<Record<string, unknown>>;
  readonly path?: undefined;
}

const MOST_NAMES = 200;
/** Characters of a configuration; whatever is longer is code that somebody keeps somewhere. */
const MOST_CHARACTERS = 256 * 1024;
/** Where such code is nested in earnest it is so ten deep. */
const MOST_DEPTH = 40;

/** What a call of a module says of itself; no module has such a variable. */
const OF_THE_CALL: ReadonlySet<string> = new Set([
  'source',
  'version',
  'providers',
  'count',
  'for_each',
  'depends_on',
  'lifecycle',
  'locals',
]);

export function isOfTheCall(variable: string): boolean {
  return OF_THE_CALL.has(variable);
}

const Name = z
  .string()
  .regex(/^[A-Za-z_][\w-]{0,99}$/, { error: 'it is named with at most 100 letters, digits, _ and -' });

const Variables = z
  .array(
    Name.refine((name) => !isOfTheCall(name), {
      error: (issue) => `${quote(issue.input)} is no variable of a module: the call itself has that name`,
    }),
  )
  .max(MOST_NAMES)
  .meta({ description: 'What is passed on beside the variables that have a value' });

const Outputs = z
  .array(z.union([Name, z.strictObject({ name: Name, sensitive: z.boolean() })]))
  .max(MOST_NAMES)
  .refine((outputs) => new Set(outputs.map(nameOf)).size === outputs.length, {
    error: 'each output is named once',
  })
  .meta({
    description: 'What of the module is handed on',
    examples: [['address', { name: 'key', sensitive: true }]],
  });

function nameOf(output: DescribedOutput): string {
  return typeof output === 'string' ? output : output.name;
}

/** How the tool is told to fetch it, then where from. It becomes part of a command line of git or hg. */
const ADDRESS = /^((git|hg|https?|s3|gcs)::)?(?!\w+::)[A-Za-z0-9][\w.~:/@+%=&?,-]{0,999}$/;
/** Over HTTP whoever is named is a password, or goes with one; over SSH it is `git`, as a rule. */
const WITH_PASSWORD = /https?:\/\/[^/?#]*@|\/\/[^/?#]*:[^/?#]*@/i;
/** Of a query: what opens the address to whoever has it. `sig` is Azure's. */
const SECRET_NAME = /token|secret|signature|password|sshkey|^sig$/i;

const ModuleAddress = z
  .string()
  .superRefine((text, context) => {
    const message = wrongWithAddress(text);
    if (message !== undefined) context.addIssue({ code: 'custom', message });
  })
  .meta({
    description: 'Where the module is, as Terraform takes it',
    examples: ['terraform-google-modules/network/google'],
  });

const Version = z
  .string()
  .regex(/^[\w.,<>=!~+ -]{1,100}$/, {
    error: (issue) => `${quote(issue.input)} is no version; write it like ~> 3.1`,
  })
  .meta({ description: 'Which versions of a registry will do', examples: ['~> 3.1'] });

/** Undefined for what can be fetched; the message repeats no password. */
function wrongWithAddress(text: string): string | undefined {
  if (hasPassword(text))
    return 'an address of a module has no password in it: give it to the environment of the director';
  if (ADDRESS.test(text) && !isLocal(text)) return undefined;
  return `${withoutPassword(quote(text))} is no module that can be fetched; write it like network/google, git::https://host/path.git?ref=v1 or https://host/path.zip`;
}

function hasPassword(address: string): boolean {
  if (WITH_PASSWORD.test(address)) return true;
  return [...address.matchAll(/[?&]([^=&?#]*)/g)].some(([, name = '']) => SECRET_NAME.test(decoded(name)));
}

/** As whoever fetches it reads it: a name may hide behind `%74`. */
function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** A folder or a file of the machine, or a way up: of what is written no folder lies beside it. */
function isLocal(text: string): boolean {
  const [, where = text] = /^\w+::(.*)$/s.exec(text) ?? [];
  return /^[./\\~]|^[a-z]:[\\/]|^file:/i.test(where) || where.split(/[/\\?]/).includes('..');
}

export const DescribedModule = z.strictObject({
  module: z.strictObject({ source: ModuleAddress, version: Version.optional() }),
  variables: Variables.optional(),
  outputs: Outputs.optional(),
});

export const DescribedConfiguration = z.strictObject({
  configuration: z
    .record(z.string(), z.unknown())
    .superRefine((configuration, context) => {
      for (const message of wrongWith(configuration)) context.addIssue({ code: 'custom', message });
    })
    .meta({ description: 'Terraform in its JSON syntax', examples: [{ output: { a: { value: 1 } } }] }),
});

function wrongWith(configuration: Readonly<Record<string, unknown>>): string[] {
  const text = JSON.stringify(configuration);
  if (Object.keys(configuration).length === 0) return ['a configuration says at least something'];
  if (text.length > MOST_CHARACTERS)
    return [`a configuration has at most ${MOST_CHARACTERS} characters; bring longer code as a bundle`];
  if (isDeeper(text, MOST_DEPTH)) return [`a configuration is nested at most ${MOST_DEPTH} deep`];
  return entriesOf(configuration.module).flatMap(([name, call]) =>
    entriesOf(call).flatMap(([key, source]) => {
      if (key !== 'source' || typeof source !== 'string') return [];
      if (isLocal(source))
        return [
          `the module ${quote(name)} is a folder, and none lies beside what is written; bring both as a bundle`,
        ];
      const wrong = wrongWithAddress(source);
      return wrong === undefined ? [] : [`the module ${quote(name)}: ${wrong}`];
    }),
  );
}

/** Of an object, or of all objects in a list: the JSON form allows both everywhere. */
function entriesOf(value: unknown): [string, unknown][] {
  if (Array.isArray(value)) return value.flatMap(entriesOf);
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}

/** Passes on all that has a value, beside what was named. The same again is the same. */
export function passingOn(source: DescribedModule, variables: readonly string[]): DescribedModule {
  const all = [...new Set([...(source.variables ?? []), ...variables])].sort();
  return all.length === 0 ? source : { ...source, variables: all };
}

/** The one file of it: the same for the same description, in whatever order that is written. */
export function writtenFor(source: DescribedModule | DescribedConfiguration): string {
  const root = 'module' in source ? callOf(source) : source.configuration;
  return `${canonicalJson(root)}\n`;
}

/** What the call is known by within the written code: it stands in the addresses of resources. */
const CALL = 'main';

function callOf({ module, variables = [], outputs = [] }: DescribedModule): object {
  const passed = variables.map((name) => [name, `\${var.${name}}`]);
  const handed = outputs.map((output) => [
    nameOf(output),
    {
      value: `\${module.${CALL}.${nameOf(output)}}`,
      ...(typeof output === 'object' && output.sensitive ? { sensitive: true } : {}),
    },
  ]);
  return {
    module: { [CALL]: { ...module, ...Object.fromEntries(passed) } },
    ...(variables.length === 0 ? {} : { variable: Object.fromEntries(variables.map((name) => [name, {}])) }),
    ...(outputs.length === 0 ? {} : { output: Object.fromEntries(handed) }),
  };
}

/** The text may be a URL in which somebody wrote one: it is for messages. */
function withoutPassword(text: string): string {
  return text.replace(/[^/"]*@/, '…@').replace(/\?.*$/s, '?…"');
}
