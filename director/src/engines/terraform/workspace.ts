/**
 * What is put before the names of workspaces, so that they are told from those of others in one backend.
 *
 * As with backends: what a module was applied with is noted, and holds until it is destroyed, whatever is set later. In
 * another workspace there would be nothing of it, and all would be made again. One that was applied before there was
 * such a setting has none.
 */
import { z } from 'zod';
import type { Artifacts } from '../../store/artifacts.ts';
import type { Keys, ModuleSpec } from './spec.ts';

const Note = z.object({ prefix: z.string() });

export interface Placing {
  /** What is set now. */
  readonly prefix: string;
  /** Whether the stack knows of it: as applied, or as begun. One with a backend of its own may have left nothing with us. */
  readonly wasBegun: boolean;
  readonly artifacts: Artifacts;
}

/** The module with the workspace that it really has. */
export async function placedInWorkspace(
  spec: ModuleSpec,
  keys: Keys,
  { prefix, wasBegun, artifacts }: Placing,
): Promise<ModuleSpec> {
  if (spec.workspace === undefined) return spec;
  const noted = await artifacts.read(keys.workspace);
  const own = noted ? Note.parse(JSON.parse(noted.toString('utf8'))).prefix : undefined;
  const before = own ?? (wasBegun || (await isKept(keys, artifacts)) ? '' : prefix);
  return before === '' ? spec : { ...spec, workspace: `${before}${spec.workspace}` };
}

/** From now on its workspace has that before its name. `asked` is the module as it was asked for. */
export async function noteWorkspace(
  placed: ModuleSpec,
  asked: ModuleSpec,
  keys: Keys,
  artifacts: Artifacts,
): Promise<void> {
  if (placed.workspace === undefined || asked.workspace === undefined) return;
  if ((await artifacts.read(keys.workspace)) !== undefined) return;
  const prefix = placed.workspace.slice(0, placed.workspace.length - asked.workspace.length);
  await artifacts.write(keys.workspace, Buffer.from(JSON.stringify({ prefix })));
}

async function isKept({ state, outputs, backend, begun }: Keys, artifacts: Artifacts): Promise<boolean> {
  for (const key of [state, outputs, backend, begun])
    if ((await artifacts.read(key)) !== undefined) return true;
  return false;
}
