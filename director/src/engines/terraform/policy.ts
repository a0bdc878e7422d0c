/**
 * Code that runs commands on the machine of the director, or on others, is refused unless that is allowed.
 *
 *   by text        before the tool runs at all, in every file of the bundle and of the modules that init fetched.
 *                  Names the file. Could be led astray by text made for it.
 *   by provider    after init: whether the provider whose only purpose is to run programs was installed for the module.
 *                  Cannot be led astray; catches `data "external"`, which a plan would run.
 *   by plan        before an apply: the configuration as the tool itself understood it. Cannot be led astray; catches
 *                  provisioners, which only an apply runs.
 *
 * What this does not catch: a provider is a program too. Which are installed is decided by the tool's own configuration
 * (TF_CLI_CONFIG_FILE: mirrors, and nothing else). Those that a bundle brings itself are never run.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import { z } from 'zod';
import { blocksOf } from './hcl.ts';

const COMMANDS: ReadonlySet<string> = new Set(['local-exec', 'remote-exec']);

/** Throws a CloudError 'refused' that names the file. A folder that is not there has none. */
export async function demandNoCommands(dir: string): Promise<void> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const isCode = entry.isFile() && /\.tf(\.json)?$/.test(entry.name);
    if (!isCode) continue;
    const path = join(entry.parentPath, entry.name);
    const source = await readFile(path, 'utf8');
    const what = entry.name.endsWith('.json') ? commandInJson(source) : commandIn(source);
    if (what !== undefined) throw refusal(`${relative(dir, path)} has a ${what}`);
  }
}

function commandIn(source: string): string | undefined {
  for (const { type, labels } of blocksOf(source)) {
    const [label = ''] = labels;
    if (type === 'provisioner' && COMMANDS.has(label)) return `provisioner "${label}"`;
    if (type === 'data' && label === 'external') return 'data "external"';
  }
  return undefined;
}

/** By its keys alone: JSON may hold one twice, and then a parser sees only one of them. */
function commandInJson(source: string): string | undefined {
  const keys = new Set([...source.matchAll(/("(?:[^"\\]|\\.)*")\s*:/g)].map(([, key = '']) => unquoted(key)));
  for (const command of COMMANDS) if (keys.has(command)) return `provisioner "${command}"`;
  return keys.has('external') && keys.has('data') ? 'data "external"' : undefined;
}

function unquoted(key: string): string {
  try {
    return String(JSON.parse(key));
  } catch {
    return key;
  }
}

/** Providers that a bundle brings along would be run as they are. */
export async function demandNoPrograms(root: string): Promise<void> {
  if ((await readdir(root)).includes('terraform.d')) throw refusal('The bundle has a folder terraform.d');
}

/** After init. */
export async function demandNoExternal(root: string): Promise<void> {
  const providers = join(root, '.terraform', 'providers');
  const installed = await readdir(providers, { recursive: true }).catch(() => []);
  const found = installed.find((path) => /^[^/]+\/[^/]+\/external$/.test(path));
  if (found) throw refusal(`It needs the provider ${found}, which runs programs`);
}

interface Module {
  readonly resources?:
    | readonly {
        readonly address: string;
        readonly mode?: string | undefined;
        readonly type: string;
        readonly provisioners?: readonly { readonly type: string }[] | undefined;
      }[]
    | undefined;
  readonly module_calls?: Readonly<Record<string, { readonly module?: Module | undefined }>> | undefined;
}

const PlannedModule: z.ZodType<Module> = z.object({
  resources: z
    .array(
      z.object({
        address: z.string(),
        mode: z.string().optional(),
        type: z.string(),
        provisioners: z.array(z.object({ type: z.string() })).optional(),
      }),
    )
    .optional(),
  get module_calls() {
    return z.record(z.string(), z.object({ module: PlannedModule.optional() })).optional();
  },
});

/** `configuration` is that of the plan's JSON. */
export function demandPlanWithoutCommands(configuration: unknown): void {
  const { root_module: root } = z.object({ root_module: PlannedModule.optional() }).parse(configuration);
  if (root) demandModule(root, '');
}

function demandModule({ resources = [], module_calls: calls = {} }: Module, prefix: string): void {
  for (const { address, mode, type, provisioners = [] } of resources) {
    const command = provisioners.find((provisioner) => COMMANDS.has(provisioner.type));
    if (command) throw refusal(`${prefix}${address} has a provisioner "${command.type}"`);
    if (mode === 'data' && type === 'external') throw refusal(`${prefix}${address} runs a program`);
  }
  for (const [name, { module }] of Object.entries(calls))
    if (module) demandModule(module, `${prefix}module.${name}.`);
}

function refusal(what: string): CloudError {
  return new CloudError('refused', `The Terraform code is refused: ${what}`, {
    fix: 'leave out what runs commands, or let the operator of the director allow it',
  });
}
