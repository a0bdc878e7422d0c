/** How whoever typed this command line calls the conductor: what a message tells to type begins with it. */
import { dirname, relative } from 'node:path';

export interface Started {
  /** The program's file, and the Node that it was given to, as they were called; undefined where nobody typed them. */
  readonly file?: string | undefined;
  readonly node?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

/** The scripts of this repository's package.json that start the conductor. */
const SCRIPTS: ReadonlySet<string> = new Set(['conductor', 'demo']);

export function programOf({ file, node = 'node', env, cwd }: Started): string {
  if (env.npm_package_name === 'service-director' && SCRIPTS.has(env.npm_lifecycle_event ?? ''))
    return scriptOf(env, cwd);
  // What is called by its name is on the path; so it is from its sources for those who develop it.
  if (file === undefined || !file.endsWith('.js')) return 'conductor';
  return `${quoted(shorter(node, cwd))} ${quoted(shorter(file, cwd))}`;
}

/** The script is known in the folder of its package.json and below; from elsewhere that has to be named. */
function scriptOf(env: Started['env'], cwd: string): string {
  const isPnpm = env.npm_config_user_agent?.startsWith('pnpm/') === true;
  const root = env.npm_package_json === undefined ? undefined : dirname(env.npm_package_json);
  if (root === undefined || isWithin(root, cwd)) return isPnpm ? 'pnpm conductor' : 'npm run conductor --';
  return isPnpm ? `pnpm --dir ${quoted(root)} conductor` : `npm --prefix ${quoted(root)} run conductor --`;
}

function isWithin(folder: string, path: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

function shorter(path: string, cwd: string): string {
  return isWithin(cwd, path) ? relative(cwd, path) : path;
}

/** As a shell takes it for one word. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
