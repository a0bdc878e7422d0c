/** Finds and reads the files of an architecture. The only place that opens them. */
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import type { Architecture } from '@service-director/shared/model/architecture.ts';
import { type Diagnostic, hasErrors } from '@service-director/shared/model/diagnostic.ts';
import { type Parsed, parseArchitecture, type Sources } from '@service-director/shared/model/parse.ts';
import { readYaml, type SourceFile } from '@service-director/shared/model/source.ts';
import { EXIT, Failure } from './failure.ts';

export interface Loaded {
  readonly architecture: Architecture;
  readonly diagnostics: readonly Diagnostic[];
  /** The folder that paths in the architecture are relative to. */
  readonly base: string;
  /** No source may lie outside of this: the repository, or the folder of the architecture where there is none. */
  readonly root: string;
}

/** The architecture cannot be used; the diagnostics say all that is wrong with it. */
export class InvalidArchitecture extends Failure {
  readonly diagnostics: readonly Diagnostic[];

  constructor(diagnostics: readonly Diagnostic[], message = mistakesIn(diagnostics)) {
    super(message, {
      exitCode: EXIT.invalidArchitecture,
    });
    this.name = 'InvalidArchitecture';
    this.diagnostics = diagnostics;
  }
}

function mistakesIn(diagnostics: readonly Diagnostic[]): string {
  const count = diagnostics.filter(({ severity }) => severity === 'error').length;
  return `The architecture has ${count} mistake${count === 1 ? '' : 's'}`;
}

/** What a folder's architecture is called. */
const HUB_NAMES = ['architecture.yaml', 'architecture.yml', 'service-director.yaml', 'service-director.yml'];

export interface LoadOptions {
  /** Which sources have to be there: by default all; none for who does not send them anywhere. */
  readonly sources?: false | SourcesWanted;
}

/** Of one dataflow, or of all; of the director too, where it may be built. */
export interface SourcesWanted {
  readonly dataflow?: string | undefined;
  readonly director: boolean;
}

/** Reads the file, or the folder's architecture; dataflows in `dataflows/` beside it belong to it. Throws InvalidArchitecture. */
export function loadArchitecture(
  path: string,
  cwd: string,
  { sources = { director: true } }: LoadOptions = {},
): Loaded {
  const hub = hubOf(resolve(cwd, path), path);
  const base = dirname(hub);
  const read = (file: string): SourceFile => ({
    path: relative(cwd, file) || basename(file),
    text: readFileSync(file, 'utf8'),
  });
  const files = { hub: read(hub), dataflows: dataflowFiles(base).map(read) };
  const parsed: Parsed = parseArchitecture(files);
  const root = repositoryOf(base);
  const built = parsed.architecture ? builtOf(parsed.architecture) : writtenOf(files);
  const complaints = sources ? checkSources(built, sources, base, root) : [];
  const diagnostics = [...parsed.diagnostics, ...complaints];
  if (!parsed.architecture || hasErrors(diagnostics)) throw new InvalidArchitecture(diagnostics);
  return { architecture: parsed.architecture, diagnostics, base, root };
}

/** Whether there is a file of that name, or a folder with an architecture in it. */
export function isArchitecture(path: string, cwd: string): boolean {
  const full = resolve(cwd, path);
  if (!existsSync(full)) return false;
  return !statSync(full).isDirectory() || HUB_NAMES.some((name) => existsSync(join(full, name)));
}

function hubOf(path: string, asWritten: string): string {
  if (!existsSync(path))
    throw new InvalidArchitecture(
      [complaint(`There is no ${asWritten}`, 'name the file or folder of an architecture')],
      NOTHING,
    );
  if (!statSync(path).isDirectory()) return path;
  const found = HUB_NAMES.map((name) => join(path, name)).find((file) => existsSync(file));
  if (found) return found;
  throw new InvalidArchitecture(
    [complaint(`${asWritten} holds no architecture`, `put an ${HUB_NAMES[0]} there`)],
    NOTHING,
  );
}

const NOTHING = 'There is no architecture to read';

function dataflowFiles(base: string): string[] {
  const folder = join(base, 'dataflows');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /\.ya?ml$/.test(name))
    .sort()
    .map((name) => join(folder, name));
}

/** The nearest folder above with a `.git`, else the folder itself. */
function repositoryOf(base: string): string {
  for (let at = base; ; at = dirname(at)) {
    if (existsSync(join(at, '.git'))) return at;
    if (dirname(at) === at) return base;
  }
}

/** What is built from a source. */
interface Built {
  readonly name: string;
  /** Undefined for the director. */
  readonly dataflow: string | undefined;
  readonly source: string;
  readonly module: string;
}

function builtOf({ dataflows, director }: Architecture): Built[] {
  const services = Object.entries(dataflows).flatMap(([dataflow, { services: all }]) =>
    Object.entries(all).map(([name, { deployment }]) => ({ name, dataflow, deployment })),
  );
  const modules = Object.entries(dataflows).flatMap(([dataflow, { modules: all }]) =>
    Object.entries(all).flatMap(([name, { source }]) =>
      typeof source === 'string' ? [{ name: `module ${name}`, dataflow, source, module: '.' }] : [],
    ),
  );
  const programs = [
    ...services,
    { name: director.name, dataflow: undefined, deployment: director.deployment },
  ].flatMap(({ deployment: { source_path: source, buildable_module_path: module }, ...whose }) =>
    source === undefined ? [] : [{ ...whose, source, module }],
  );
  return [...programs, ...modules];
}

/** The same, as far as it can be read, of services in an architecture with mistakes: all are to be told at once. */
function writtenOf({ hub, dataflows }: Sources): Built[] {
  const parts = [...Object.values(at(contentOf(hub), 'dataflows')), ...dataflows.map(contentOf)];
  const named = Object.keys(at(contentOf(hub), 'dataflows'));
  return parts.flatMap((part, index) =>
    Object.entries(at(part, 'services')).flatMap(([name, service]) => {
      const { source_path: source, buildable_module_path: module = '.' } = at(service, 'deployment');
      if (typeof source !== 'string' || typeof module !== 'string') return [];
      return [{ name, dataflow: named[index] ?? String(at(part).name), source, module }];
    }),
  );
}

function contentOf(file: SourceFile): unknown {
  return readYaml(file).document?.value;
}

/** The map that is there, or under that key; an empty one where there is none. */
function at(value: unknown, key?: string): Readonly<Record<string, unknown>> {
  const map = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  return key === undefined ? map : at(map[key]);
}

/** Where sources are: there, and inside of what may be sent away. */
function checkSources(
  built: readonly Built[],
  wanted: SourcesWanted,
  base: string,
  root: string,
): Diagnostic[] {
  return built
    .filter(({ dataflow }) =>
      dataflow === undefined
        ? wanted.director
        : wanted.dataflow === undefined || dataflow === wanted.dataflow,
    )
    .flatMap((one) => checkSource(one, base, root) ?? []);
}

function checkSource({ name, source, module }: Built, base: string, root: string): Diagnostic | undefined {
  const folder = resolve(base, source);
  const what = `the source of ${name}, ${source},`;
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    return complaint(`${what} is no folder`, `paths are relative to ${relative(root, base) || '.'}`);
  if (!isInside(realpathSync(folder), realpathSync(root)))
    return complaint(`${what} lies outside of ${root}`, 'move it into the repository');
  const path = `buildable_module_path of ${name}, ${module},`;
  if (!isInside(resolve(folder, module), folder))
    return complaint(`${path} leaves its source_path`, 'widen source_path instead');
  return existsSync(resolve(folder, module))
    ? undefined
    : complaint(`${path} does not exist in ${source}`, 'correct the path');
}

export function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

function complaint(message: string, fix: string): Diagnostic {
  return { severity: 'error', message, fix };
}
