/** Whether the tool can be used here, and what is missing where it cannot. */
import { mkdir, statfs } from 'node:fs/promises';
import { run } from '@service-director/shared/kit/process.ts';
import { z } from 'zod';
import { toolEnvironment } from './cli.ts';
import type { TerraformOptions } from './session.ts';

export type Health =
  | { readonly ok: true; readonly version: string; readonly freeBytes: number }
  | { readonly ok: false; readonly because: string; readonly fix: string };

/** The first with all that is asked of it; 1.0 to 1.4 lack parts. */
const OLDEST = [1, 5] as const;
/** Providers are large. */
const LEAST_BYTES = 512 * 1024 * 1024;
const LONGEST_MS = 30_000;

interface Options extends Pick<TerraformOptions, 'binary' | 'workRoot' | 'environment'> {
  readonly signal?: AbortSignal | undefined;
}

export async function healthOf(options: Options): Promise<Health> {
  const tool = await toolHealthOf(options);
  if (!tool.ok) return tool;
  const room = await roomHealthOf(options);
  return room.ok ? { ...tool, ...room } : room;
}

type Ill = Extract<Health, { ok: false }>;

/** A tool that runs, and is not what it should be. */
type IllTool = Ill & { readonly isStrange: boolean };

/** Whether the tool is there, and new enough. */
export async function toolHealthOf({
  binary,
  workRoot,
  environment,
  signal,
}: Options): Promise<IllTool | { readonly ok: true; readonly version: string }> {
  const said = await versionSaidBy(binary, toolEnvironment(workRoot, environment), signal);
  const version = said === undefined ? undefined : versionIn(said);
  const install = 'install Terraform 1.5 or newer where the director runs';
  if (version === undefined)
    return {
      ok: false,
      because: `There is no Terraform: ${binary} does not tell its version`,
      fix: install,
      isStrange: said !== undefined,
    };
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]))
    return { ok: false, because: `Terraform ${version} is too old`, fix: install, isStrange: true };
  return { ok: true, version };
}

type IllRoom = Ill & { readonly isThere: boolean };

/** Whether there is room where it works. */
export async function roomHealthOf({
  workRoot,
}: Pick<Options, 'workRoot'>): Promise<IllRoom | { readonly ok: true; readonly freeBytes: number }> {
  const freeBytes = await freeIn(workRoot);
  if (freeBytes === undefined)
    return {
      ok: false,
      because: 'The work directory of Terraform cannot be made',
      fix: 'set TERRAFORM_WORK_DIR to a folder that the director may write to',
      isThere: false,
    };
  if (freeBytes < LEAST_BYTES)
    return {
      ok: false,
      because: `The work directory of Terraform has only ${Math.floor(freeBytes / 1024 / 1024)} MiB left`,
      fix: 'free space there, or set TERRAFORM_WORK_DIR to a larger disk',
      isThere: true,
    };
  return { ok: true, freeBytes };
}

const Version = z.object({ terraform_version: z.string().regex(/^\d+\.\d+\.\d+/) });

/** Undefined where it cannot be run: it is not there, does not answer, or breaks. */
async function versionSaidBy(
  binary: string,
  env: Readonly<Record<string, string>>,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const late = AbortSignal.timeout(LONGEST_MS);
  try {
    const { code, stdout } = await run(binary, ['version', '-json'], {
      env,
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
    return code === 0 ? stdout : undefined;
  } catch {
    return undefined;
  }
}

function versionIn(said: string): string | undefined {
  try {
    return Version.parse(JSON.parse(said)).terraform_version;
  } catch {
    return undefined;
  }
}

async function freeIn(dir: string): Promise<number | undefined> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const { bavail, bsize } = await statfs(dir);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}
