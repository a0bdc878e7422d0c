/** What an instance executes: the container's words, or the image's, as a program of this machine. */
import { accessSync, constants, existsSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, posix, sep } from 'node:path';
import { isObject, type Json, type JsonObject } from '../../json.ts';
import type { Container } from './resources.ts';

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** The image's environment, without PATH. */
  readonly env: Readonly<Record<string, string>>;
}

/** These mean the Node that runs the local cloud: an image need not bring its own. */
const NODE = new Set(['node', '/usr/local/bin/node', '/usr/bin/node']);
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Throws, with a sentence, when the image has no such program. `root` is where the image is unpacked. */
export function programOf(container: Container, imageConfig: JsonObject, root: string): Program {
  const image = isObject(imageConfig.config) ? imageConfig.config : {};
  const variables = environmentOf(strings(image.Env));
  const { PATH: path = DEFAULT_PATH, ...env } = variables;
  const command = container.command ?? [];
  const entrypoint = command.length > 0 ? command : strings(image.Entrypoint);
  const given = container.args ?? [];
  const args = given.length > 0 || command.length > 0 ? given : strings(image.Cmd);
  const [name, ...rest] = [...entrypoint, ...args];
  if (name === undefined)
    throw new Error('The image names no command to run, and neither does the container.');
  const cwd = within(root, container.workingDir || text(image.WorkingDir) || '/');
  if (!existsSync(cwd)) throw new Error(`The working directory does not exist in the image.`);
  return { command: find(name, path, cwd, root), args: rest.map((arg) => argument(arg, root)), cwd, env };
}

function find(name: string, path: string, cwd: string, root: string): string {
  if (NODE.has(name)) return process.execPath;
  const candidates = name.includes('/')
    ? [posix.isAbsolute(name) ? within(root, name) : join(cwd, name)]
    : path.split(':').map((folder) => join(within(root, folder), name));
  const found = candidates.find((candidate) => isProgram(candidate, root));
  if (found === undefined) throw new Error(`The image has no program "${name}".`);
  return found;
}

function isProgram(path: string, root: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    const real = realpathSync(path);
    return statSync(real).isFile() && real.startsWith(realpathSync(root) + sep);
  } catch {
    return false;
  }
}

/** A file that the image has is meant as the image's; anything else is left as it is. */
function argument(arg: string, root: string): string {
  if (!posix.isAbsolute(arg) || arg === '/') return arg;
  const path = within(root, arg);
  return existsSync(path) ? path : arg;
}

/** Where a path of the image is on this machine. */
function within(root: string, path: string): string {
  return join(root, posix.normalize(posix.join('/', path)));
}

/** PATH and the other things that a process needs, and nothing of whoever started the local cloud. */
export function minimalEnvironment(home: string): Record<string, string> {
  return {
    PATH: [dirname(process.execPath), '/usr/local/bin', '/usr/bin', '/bin'].join(':'),
    HOME: home,
    TMPDIR: home,
    LANG: 'C.UTF-8',
  };
}

/** `['A=1']` → `{A: '1'}`. */
function environmentOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs
      .filter((pair) => pair.includes('='))
      .map((pair) => {
        const at = pair.indexOf('=');
        return [pair.slice(0, at), pair.slice(at + 1)];
      }),
  );
}

function strings(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}
