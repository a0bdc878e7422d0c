/** Finds and reads the files of an architecture. The only place that opens them. */
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import type { Architecture } from '@service-director/shared/model/architecture.ts';
import { type Diagnostic, hasErrors } from '@service-director/shared/model/diagnostic.ts';
import { type Parsed, parseArchitecture } from '@service-director/shared/model/parse.ts';
import type { SourceFile } from '@service-director/shared/model/source.ts';
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

  constructor(diagnostics: readonly Diagnostic[]) {
    const count = diagnostics.filter(({ severity }) => severity === 'error').length;
    super(`The architecture has ${count} mistake${count === 1 ? '' : 's'}`, {
      exitCode: EXIT.invalidArchitecture,
    });
    this.name = 'InvalidArchitecture';
    this.diagnostics = diagnostics;
  }
}

/** What a folder's architecture is called. */
const HUB_NAMES = ['architecture.yaml', 'architecture.yml', 'service-director.yaml', 'service-director.yml'];

/** Reads the file, or the folder's architecture; dataflows in `dataflows/` beside it belong to it. Throws InvalidArchitecture. */
export function loadArchitecture(path: string, cwd: string): Loaded {
  const hub = hubOf(resolve(cwd, path), path);
  const base = dirname(hub);
  const read = (file: string): SourceFile => ({
    path: relative(cwd, file) || basename(file),
    text: readFileSync(file, 'utf8'),
  });
  const parsed: Parsed = parseArchitecture({ hub: read(hub), dataflows: dataflowFiles(base).map(read) });
  if (!parsed.architecture) throw new InvalidArchitecture(parsed.diagnostics);
  const root = repositoryOf(base);
  const diagnostics = [...parsed.diagnostics, ...checkSources(parsed.architecture, base, root)];
  if (hasErrors(diagnostics)) throw new InvalidArchitecture(diagnostics);
  return { architecture: parsed.architecture, diagnostics, base, root };
}

function hubOf(path: string, asWritten: string): string {
  if (!existsSync(path))
    throw new InvalidArchitecture([
      complaint(`There is no ${asWritten}`, 'name the file or folder of an architecture'),
    ]);
  if (!statSync(path).isDirectory()) return path;
  const found = HUB_NAMES.map((name) => join(path, name)).find((file) => existsSync(file));
  if (found) return found;
  throw new InvalidArchitecture([
    complaint(`${asWritten} holds no architecture`, `put an ${HUB_NAMES[0]} there`),
  ]);
}

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

/** Where sources are: there, and inside of what may be sent away. */
function checkSources(architecture: Architecture, base: string, root: string): Diagnostic[] {
  const diagnostics: Diagnostic[] = [];
  const services = Object.values(architecture.dataflows).flatMap(({ services: all }) => Object.entries(all));
  const check = (name: string, source: string | undefined, module: string): void => {
    if (source === undefined) return;
    const folder = resolve(base, source);
    const what = `the source of ${name}, ${source},`;
    if (!existsSync(folder) || !statSync(folder).isDirectory()) {
      diagnostics.push(
        complaint(`${what} is no folder`, `paths are relative to ${relative(root, base) || '.'}`),
      );
    } else if (!isInside(realpathSync(folder), realpathSync(root))) {
      diagnostics.push(complaint(`${what} lies outside of ${root}`, 'move it into the repository'));
    } else if (!isInside(resolve(folder, module), folder)) {
      diagnostics.push(
        complaint(
          `buildable_module_path of ${name}, ${module}, leaves its source_path`,
          'widen source_path instead',
        ),
      );
    } else if (!existsSync(resolve(folder, module))) {
      diagnostics.push(
        complaint(
          `buildable_module_path of ${name}, ${module}, does not exist in ${source}`,
          'correct the path',
        ),
      );
    }
  };
  for (const [name, { deployment }] of services)
    check(name, deployment.source_path, deployment.buildable_module_path);
  const { name, deployment } = architecture.director;
  check(name, deployment.source_path, deployment.buildable_module_path);
  return diagnostics;
}

export function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

function complaint(message: string, fix: string): Diagnostic {
  return { severity: 'error', message, fix };
}
