/** The tool's state: as `show -json` tells it, and, as far as we look into it, as it lies in its file. */

import type { ResourceState } from '@service-director/shared/model/state.ts';
import type { Outputs } from '@service-director/shared/model/unit.ts';
import { z } from 'zod';
import { HIDDEN } from '../tool.ts';
import { outputText } from './plan-json.ts';

interface Module {
  readonly resources: readonly Resource[];
  readonly child_modules: readonly Module[];
}

const Resource = z.object({
  address: z.string(),
  mode: z.string(),
  type: z.string(),
  name: z.string(),
  provider_name: z.string().default(''),
  values: z.record(z.string(), z.unknown()).nullish(),
  sensitive_values: z.unknown().optional(),
  depends_on: z.array(z.string()).default([]),
});
type Resource = z.output<typeof Resource>;

const Module: z.ZodType<Module> = z.object({
  resources: z.array(Resource).default([]),
  get child_modules() {
    return z.array(Module).default([]);
  },
});

const Output = z.object({ sensitive: z.boolean().default(false), value: z.unknown().optional() });

const StateJson = z.object({
  values: z
    .object({
      outputs: z.record(z.string(), Output).default({}),
      root_module: Module.default({ resources: [], child_modules: [] }),
    })
    .optional(),
});

export interface StateReading {
  /** Those that are not sensitive. */
  readonly outputs: Outputs;
  /** Of those that are no texts, what they are. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Of all modules; what was only read is none of them. */
  readonly resources: readonly ResourceState[];
  /** What is not to be shown. */
  readonly secrets: readonly unknown[];
}

/** `json` is what `show -json` says of a state. */
export function readState(json: unknown): StateReading {
  const { values } = StateJson.parse(json);
  if (!values) return { outputs: {}, values: {}, resources: [], secrets: [] };
  const managed = resourcesOf(values.root_module).filter(({ mode }) => mode === 'managed');
  return {
    outputs: plainOutputs(values.outputs),
    values: valuesOf(values.outputs),
    resources: managed.map(resourceState),
    secrets: [
      ...secretOutputs(values.outputs),
      ...managed.flatMap(({ values: held, sensitive_values: marks }) => marked(held, marks)),
    ],
  };
}

function resourcesOf({ resources, child_modules: children }: Module): Resource[] {
  return [...resources, ...children.flatMap(resourcesOf)];
}

function resourceState(resource: Resource): ResourceState {
  const { address, type, name, provider_name: provider, values, sensitive_values: marks } = resource;
  const entries = Object.entries(values ?? {});
  const markOf = (field: string): unknown => (marks === true ? true : at(marks, field));
  return {
    address,
    type,
    name,
    provider,
    attributes: Object.fromEntries(entries.map(([field, value]) => [field, hidden(value, markOf(field))])),
    dependencies: resource.depends_on,
  };
}

/** The value with all hidden that the marks, which have the same shape, call sensitive. */
function hidden(value: unknown, marks: unknown): unknown {
  if (marks === true) return HIDDEN;
  if (typeof marks !== 'object' || marks === null || typeof value !== 'object' || value === null)
    return value;
  if (Array.isArray(value)) return value.map((inner, place) => hidden(inner, at(marks, String(place))));
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, hidden(inner, at(marks, key))]),
  );
}

/** What the marks call sensitive. */
function marked(value: unknown, marks: unknown): unknown[] {
  if (marks === true) return [value];
  if (typeof marks !== 'object' || marks === null || typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => marked(inner, at(marks, key)));
}

function at(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null
    ? new Map<string, unknown>(Object.entries(value)).get(key)
    : undefined;
}

type RawOutputs = Readonly<Record<string, z.output<typeof Output>>>;

function plainOutputs(outputs: RawOutputs): Outputs {
  return Object.fromEntries(
    Object.entries(outputs).flatMap(([name, { sensitive, value }]) =>
      sensitive || value === undefined ? [] : [[name, outputText(value)]],
    ),
  );
}

function valuesOf(outputs: RawOutputs): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(outputs).flatMap(([name, { sensitive, value }]) =>
      sensitive || value === undefined || typeof value === 'string' ? [] : [[name, value]],
    ),
  );
}

function secretOutputs(outputs: RawOutputs): unknown[] {
  return Object.values(outputs).flatMap(({ sensitive, value }) => (sensitive ? [value] : []));
}

const PathStep = z.object({ value: z.unknown().optional() });
const StateFile = z.object({
  version: z.literal(4),
  serial: z.number(),
  lineage: z.string(),
  outputs: z.record(z.string(), Output).default({}),
  resources: z
    .array(
      z.object({
        mode: z.string().default('managed'),
        instances: z
          .array(
            z.object({
              attributes: z.unknown().optional(),
              sensitive_attributes: z.array(z.array(PathStep)).default([]),
            }),
          )
          .default([]),
      }),
    )
    .default([]),
});

export interface KeptState {
  readonly serial: number;
  readonly lineage: string;
  readonly outputs: Outputs;
  readonly isEmpty: boolean;
  readonly secrets: readonly unknown[];
}

/** Undefined for what is no whole state: a file is not replaced at once but written over. */
export function readStateFile(bytes: Buffer): KeptState | undefined {
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
  const state = StateFile.safeParse(json).data;
  if (!state) return undefined;
  const { serial, lineage, outputs, resources } = state;
  const instances = resources.flatMap((resource) => resource.instances);
  return {
    serial,
    lineage,
    outputs: plainOutputs(outputs),
    isEmpty: Object.keys(outputs).length === 0 && resources.every(({ mode }) => mode !== 'managed'),
    secrets: [
      ...secretOutputs(outputs),
      ...instances.flatMap(({ attributes, sensitive_attributes: paths }) =>
        paths.map((path) => path.reduce<unknown>((value, step) => at(value, String(step.value)), attributes)),
      ),
    ],
  };
}
