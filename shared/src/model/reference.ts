/** References that a user writes into a text: `${topic.orders.name}`, `${module.network.address}`. */
import { type OutputReference, output, type UnitId, unitId } from './unit.ts';

/** What can be referred to. Names of resources are known before they are made; the rest comes out of making them. */
const KINDS = ['topic', 'subscription', 'bucket', 'service', 'module'] as const;
type Kind = (typeof KINDS)[number];

export interface Reference {
  /** As it is written. */
  readonly text: string;
  readonly kind: Kind;
  readonly name: string;
  readonly output: string;
}

/** Whatever else stands in such brackets is somebody else's to read. */
const PATTERN = new RegExp(`\\$\\{((?:${KINDS.join('|')})\\.[^{}]*)\\}`, 'g');
const PARTS = /^([a-z]+)\.([^.\s]+)\.([\w-]+)$/;

/** All references in a text. Throws an Error that says what is wrong with one. */
export function referencesOf(text: string): Reference[] {
  return [...text.matchAll(PATTERN)].map(([whole, inner = '']) => {
    const [, kind = '', name = '', key = ''] = PARTS.exec(inner) ?? [];
    const known = KINDS.find((one) => one === kind);
    if (!known) throw new Error(`${whole} is no reference; one is written \${kind.name.output}`);
    const outputs = OUTPUTS[known];
    if (outputs && !outputs.includes(key))
      throw new Error(
        `${whole}: a ${kind} has ${outputs.map((one) => `"${one}"`).join(' and ')}, and no "${key}"`,
      );
    return { text: whole, kind: known, name, output: key };
  });
}

/** Those of a module are its own. */
const OUTPUTS: Readonly<Record<Kind, readonly string[] | undefined>> = {
  topic: ['name', 'id'],
  subscription: ['name', 'id'],
  bucket: ['name'],
  service: ['uri'],
  module: undefined,
};

export interface Resolved {
  readonly value: string | OutputReference;
  readonly needs: readonly UnitId[];
}

/** The text with what is known beforehand put in. Throws an Error when two of its references are known only later. */
export function resolveText(text: string, project: string): Resolved {
  const references = referencesOf(text);
  const needs = references.map(({ kind, name }) => unitId(kind, name));
  let known = text;
  const later: Reference[] = [];
  for (const reference of references) {
    const value = knownOf(reference, project);
    if (value === undefined) later.push(reference);
    else known = known.replace(reference.text, () => value);
  }
  const [only, another] = later;
  if (!only) return { value: known, needs };
  if (another)
    throw new Error(
      `${only.text} and ${another.text} cannot stand in one text; give each a variable of its own`,
    );
  const [prefix = '', suffix = ''] = known.split(only.text);
  return {
    value: output(unitId(only.kind, only.name), only.output, {
      ...(prefix === '' ? {} : { prefix }),
      ...(suffix === '' ? {} : { suffix }),
    }),
    needs,
  };
}

function knownOf({ kind, name, output: key }: Reference, project: string): string | undefined {
  if (kind === 'service' || kind === 'module') return undefined;
  return key === 'id' ? `projects/${project}/${kind}s/${name}` : name;
}

/** The same for every text within a value. */
export function resolveTexts(value: unknown, project: string): { value: unknown; needs: UnitId[] } {
  const needs = new Set<UnitId>();
  const walk = (inner: unknown): unknown => {
    if (typeof inner === 'string') {
      const resolved = resolveText(inner, project);
      for (const need of resolved.needs) needs.add(need);
      return resolved.value;
    }
    if (Array.isArray(inner)) return inner.map(walk);
    if (typeof inner !== 'object' || inner === null) return inner;
    return Object.fromEntries(Object.entries(inner).map(([key, one]) => [key, walk(one)]));
  };
  return { value: walk(value), needs: [...needs] };
}
