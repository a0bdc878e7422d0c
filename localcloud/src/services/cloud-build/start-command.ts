/** How an image's service is started, chosen as Google's buildpacks choose it. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isObject, type JsonObject } from '../../json.ts';
import { BuildFailure } from './failure.ts';

export type Start =
  | { readonly type: 'program'; readonly words: readonly string[] }
  /** For a shell. */
  | { readonly type: 'script'; readonly text: string };

/** Throws BuildFailure when nothing says how to start. */
export async function startOf(
  folder: string,
  packageJson: JsonObject,
  env: Readonly<Record<string, string>>,
): Promise<Start> {
  const scripts = isObject(packageJson.scripts) ? packageJson.scripts : {};
  const procfile = await readFile(join(folder, 'Procfile'), 'utf8').catch(() => '');
  const told = env.GOOGLE_ENTRYPOINT || /^web:\s*(\S.*?)\s*$/m.exec(procfile)?.[1];
  if (told) return commandOf(told);
  if (typeof scripts.start === 'string' && scripts.start.trim() !== '') {
    const before = typeof scripts.prestart === 'string' ? `${scripts.prestart} && ` : '';
    return commandOf(before + scripts.start);
  }
  for (const file of [packageJson.main, 'index.js', 'server.js']) {
    const found = typeof file === 'string' ? await resolve(folder, file) : undefined;
    if (found !== undefined) return { type: 'program', words: ['node', found] };
  }
  throw new BuildFailure(
    'USER_BUILD_STEP',
    'Nothing says how to start the service: no Procfile with a line "web: COMMAND", no "start" script in package.json, no "main", index.js or server.js. Add "scripts": {"start": "node FILE"} to package.json.',
  );
}

/** The script that an image starts for a command which is not simply `node …`. */
export function launchScript(text: string): string {
  return `#!/bin/sh\nPATH="$PWD/node_modules/.bin:$PATH"\nexport PATH\n${PLAIN.test(text) ? 'exec ' : ''}${text}\n`;
}

/** Words that mean the same without a shell. */
const PLAIN = /^[\w@%+:,./-]+( +[\w@%+=:,./-]+)*$/;

function commandOf(text: string): Start {
  const plain = PLAIN.test(text.trim());
  const words = text.trim().split(/ +/);
  return plain && words[0] === 'node' ? { type: 'program', words } : { type: 'script', text: text.trim() };
}

/** As Node finds a package's main file. */
async function resolve(folder: string, file: string): Promise<string | undefined> {
  const plain = file.replace(/^\.\//, '').replace(/\/$/, '');
  for (const candidate of [plain, `${plain}.js`, `${plain}/index.js`]) {
    const stats = await stat(join(folder, candidate)).catch(() => undefined);
    if (stats?.isFile()) return candidate;
  }
  return undefined;
}
