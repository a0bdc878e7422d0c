/** What the files of a root module say about how it is run: its variables, and where its state is kept. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { blocksOf } from './hcl.ts';

export interface Configuration {
  /** `gcs`, `local`, … as declared; `cloud` for HashiCorp's own; undefined where nothing is. */
  readonly backend: string | undefined;
  readonly variables: ReadonlySet<string>;
  readonly sensitive: ReadonlySet<string>;
}

/** Never rejects for a file that cannot be understood: the tool says better what is wrong with it. */
export async function readConfiguration(dir: string): Promise<Configuration> {
  const found = {
    backend: undefined as string | undefined,
    variables: new Set<string>(),
    sensitive: new Set<string>(),
  };
  for (const name of (await readdir(dir)).sort()) {
    if (name.endsWith('.tf')) readNative(await readFile(join(dir, name), 'utf8'), found);
    else if (name.endsWith('.tf.json')) readJson(await readFile(join(dir, name), 'utf8'), found);
  }
  return found;
}

interface Found {
  backend: string | undefined;
  readonly variables: Set<string>;
  readonly sensitive: Set<string>;
}

function readNative(source: string, found: Found): void {
  const blocks = blocksOf(source);
  for (const [place, { type, labels, depth, settings }] of blocks.entries()) {
    const [label = ''] = labels;
    if (type === 'variable' && depth === 0) noteVariable(label, settings.get('sensitive') ?? false, found);
    if (depth !== 1 || parentOf(blocks, place)?.type !== 'terraform') continue;
    if (type === 'backend') found.backend = label;
    if (type === 'cloud') found.backend = 'cloud';
  }
}

function parentOf<T extends { readonly depth: number }>(blocks: readonly T[], place: number): T | undefined {
  return blocks.slice(0, place).findLast(({ depth }) => depth === 0);
}

function readJson(source: string, found: Found): void {
  let root: unknown;
  try {
    root = JSON.parse(source);
  } catch {
    return;
  }
  for (const [name, body] of entriesAt(root, 'variable'))
    noteVariable(name, new Map(entriesOf(body)).get('sensitive') ?? false, found);
  for (const [name, body] of entriesAt(root, 'terraform')) {
    if (name === 'backend') for (const [kind] of entriesOf(body)) found.backend = kind;
    if (name === 'cloud') found.backend = 'cloud';
  }
}

/** Whatever is not plainly said to be harmless is taken for a secret. */
function noteVariable(name: string, sensitive: unknown, { variables, sensitive: secret }: Found): void {
  variables.add(name);
  if (sensitive !== false && sensitive !== 'false') secret.add(name);
}

function entriesAt(value: unknown, key: string): [string, unknown][] {
  return entriesOf(value).flatMap(([name, inner]) => (name === key ? entriesOf(inner) : []));
}

/** Of an object, or of all objects in a list: the JSON form allows both everywhere. */
function entriesOf(value: unknown): [string, unknown][] {
  if (Array.isArray(value)) return value.flatMap(entriesOf);
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}
