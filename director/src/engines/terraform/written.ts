/**
 * The state as the tool wrote it, in the form in which `show -json` tells it; to ask the tool itself starts every
 * provider once more, only to learn how their values are typed.
 *
 * Without those types the file does not always tell all. Where it might not, there is no such form, and one has to ask:
 *
 *   before 1.8       what a provider calls sensitive is not marked as such in the file
 *   dynamic values   lie in the file beside their type; only of the tool's own resource it is known which these are
 *   deposed, flat    are rare, and told otherwise
 */
import { z } from 'zod';

const Step = z.object({
  type: z.enum(['get_attr', 'index']),
  /** A name, or a key beside its type. */
  value: z.union([z.string(), z.object({ value: z.union([z.string(), z.number()]) })]),
});
type Step = z.output<typeof Step>;

const Attributes = z.record(z.string(), z.unknown());
type Attributes = z.output<typeof Attributes>;

const Instance = z.object({
  index_key: z.union([z.string(), z.number()]).optional(),
  deposed: z.undefined().optional(),
  attributes: Attributes,
  sensitive_attributes: z.array(z.array(Step)).default([]),
  dependencies: z.array(z.string()).default([]),
});

const Resource = z.object({
  module: z.string().optional(),
  mode: z.enum(['managed', 'data']),
  type: z.string(),
  name: z.string(),
  /** `provider["registry.terraform.io/hashicorp/aws"].alias`, within a module after the module's address. */
  provider: z.string().regex(/provider\["[^"]+"\]/),
  instances: z.array(Instance),
});
type Resource = z.output<typeof Resource>;

const State = z.object({
  version: z.literal(4),
  terraform_version: z.string().regex(/^1\.([89]|\d\d+)\./),
  outputs: z.record(z.string(), z.unknown()).default({}),
  resources: z
    .array(z.object({ mode: z.string() }).loose())
    // What is only read is none of the module's resources, whatever stands there.
    .transform((all) => all.filter(({ mode }) => mode === 'managed'))
    .pipe(z.array(Resource)),
});

/** Undefined where the file does not tell all that the tool would. */
export function shownOf(bytes: Buffer): unknown {
  const state = State.safeParse(jsonOf(bytes)).data;
  if (!state) return undefined;
  const resources = [];
  for (const resource of state.resources)
    for (const instance of resource.instances) {
      const shown = shownInstance(resource, instance);
      if (!shown) return undefined;
      resources.push(shown);
    }
  return { values: { outputs: state.outputs, root_module: { resources } } };
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

function shownInstance(resource: Resource, instance: z.output<typeof Instance>): object | undefined {
  const { mode, type, name } = resource;
  const address = addressOf(resource, instance.index_key);
  const provider = /provider\["([^"]+)"\]/.exec(resource.provider)?.[1] ?? '';
  const values = typed(instance.attributes, provider === BUILT_IN ? type : '');
  const marks = values && marksOf(values, instance.sensitive_attributes);
  if (address === undefined || marks === undefined) return undefined;
  return {
    ...{ address, mode, type, name, provider_name: provider, values },
    ...{ sensitive_values: marks, depends_on: instance.dependencies },
  };
}

/** Undefined where the key would stand in the address in other characters. */
function addressOf({ module, type, name }: Resource, key: string | number | undefined): string | undefined {
  const resource = `${module === undefined ? '' : `${module}.`}${type}.${name}`;
  if (key === undefined) return resource;
  if (typeof key === 'number') return `${resource}[${key}]`;
  return /^[^\P{ASCII}\p{Cc}"\\$%]*$/u.test(key) ? `${resource}["${key}"]` : undefined;
}

const BUILT_IN = 'terraform.io/builtin/terraform';

/** Those of the tool's own resources. */
const DYNAMIC: Readonly<Record<string, readonly string[]>> = {
  terraform_data: ['input', 'output', 'triggers_replace'],
};

/** The values without the types that stand beside dynamic ones; undefined where it cannot be told which are. */
function typed(attributes: Attributes, type: string): Attributes | undefined {
  const dynamic = DYNAMIC[type] ?? [];
  const values: Attributes = {};
  for (const [name, raw] of Object.entries(attributes)) {
    const isTyped = dynamic.includes(name) && isBesideType(raw);
    const value = isTyped ? raw.value : raw;
    // What was dynamic once is whole within: its type tells all that it holds.
    if (!isTyped && mayHoldTyped(value)) return undefined;
    values[name] = value;
  }
  return values;
}

function mayHoldTyped(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return isBesideType(value) || Object.values(value).some(mayHoldTyped);
}

function isBesideType(value: unknown): value is { readonly value: unknown } {
  if (typeof value !== 'object' || value === null) return false;
  return Object.keys(value).length === 2 && 'value' in value && 'type' in value && isType(value.type);
}

const PRIMITIVE: ReadonlySet<unknown> = new Set(['string', 'number', 'bool', 'dynamic']);
const COMPOSED: ReadonlySet<unknown> = new Set(['list', 'set', 'map', 'object', 'tuple']);

function isType(type: unknown): boolean {
  return Array.isArray(type) ? COMPOSED.has(type[0]) : PRIMITIVE.has(type);
}

/** In the shape of the values; undefined where a path leads nowhere. */
function marksOf(values: Attributes, paths: readonly (readonly Step[])[]): unknown {
  let marks: unknown = {};
  for (const path of paths) {
    if (!leadsSomewhere(values, path)) return undefined;
    marks = marked(marks, path);
  }
  return marks;
}

function leadsSomewhere(values: unknown, path: readonly Step[]): boolean {
  let at = values;
  for (const step of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, keyOf(step))) return false;
    at = new Map<string, unknown>(Object.entries(at)).get(keyOf(step));
  }
  return true;
}

function marked(marks: unknown, [step, ...rest]: readonly Step[]): unknown {
  if (marks === true || step === undefined) return true;
  const inner = new Map<string, unknown>(Object.entries(Object(marks)));
  inner.set(keyOf(step), marked(inner.get(keyOf(step)) ?? {}, rest));
  return Object.fromEntries(inner);
}

function keyOf({ value }: Step): string {
  return String(typeof value === 'string' ? value : value.value);
}
