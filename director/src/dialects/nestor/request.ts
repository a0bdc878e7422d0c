/** Requests of the dialect at `/api/v1`, as its clients write them: read once, with all of their mistakes told at once. */

import type { PRIORITIES } from '@service-director/shared/contract/command.ts';
import {
  DeploymentRequest,
  type DeploymentSettings,
  MOST_EDGES,
  MOST_RESOURCES,
} from '@service-director/shared/contract/rest/nestor-request.ts';
import { fingerprint } from '@service-director/shared/kit/hash.ts';
import { BundleSource } from '@service-director/shared/model/bundle-source.ts';
import { referencesOf } from '@service-director/shared/model/reference.ts';
import { z } from 'zod';
import { type Choice, demandEngines, limitOf } from './choice.ts';
import { circlesIn, distinct, type Edge, type Graph } from './graph.ts';
import { Refused } from './refused.ts';

const someNames = z.array(z.string()).catch([]).default([]);

/** As much of a request as can be made out, so that what is wrong with its graph is told beside all else that is. */
const Sketch = z
  .object({
    resources: z
      .array(
        z
          .object({
            name: z.string().catch(''),
            config: z.record(z.string(), z.unknown()).catch({}).default({}),
            depends_on: someNames,
            dependsOn: someNames,
            conflicts_with: someNames,
            conflictsWith: someNames,
          })
          .catch({
            ...{ name: '', config: {}, depends_on: [], dependsOn: [] },
            ...{ conflicts_with: [], conflictsWith: [] },
          }),
      )
      .max(MOST_RESOURCES)
      .catch([]),
    dependencies: z
      .array(z.object({ from: z.string(), to: z.string() }).catch({ from: '', to: '' }))
      .max(MOST_EDGES)
      .catch([])
      .default([]),
    composer: z.unknown().optional(),
    team: z.unknown().optional(),
  })
  .catch({ resources: [], dependencies: [], composer: undefined, team: undefined });
type Sketch = z.output<typeof Sketch>;

function graphOf({ resources, dependencies }: Sketch): Graph {
  const edges = [
    ...dependencies,
    ...resources.flatMap(({ name, dependsOn, depends_on }) =>
      [...dependsOn, ...depends_on].map((from) => ({ from, to: name })),
    ),
    ...resources.flatMap(referredBy),
  ];
  return {
    names: resources.map(({ name }) => name),
    edges: distinct(edges.filter(({ from, to }) => from !== '' && to !== '')),
  };
}

/** The configuration of a resource that Terraform makes. */
const ModuleConfig = z.strictObject({
  source: BundleSource,
  variables: z.record(z.string().regex(/^[A-Za-z_][\w-]*$/), z.json()).default({}),
  parallelism: z.number().int().min(1).max(100).optional(),
  workspace: z
    .string()
    .regex(/^[A-Za-z0-9][\w-]{0,89}$/)
    .optional(),
});

export interface WishedResource {
  readonly name: string;
  readonly engine: string;
  readonly catalogRef: string | undefined;
  readonly config: z.output<typeof ModuleConfig>;
}

export interface Wish {
  readonly id: string;
  readonly composer: string;
  /** As it was sent. */
  readonly environment: string;
  /** Of the stack. */
  readonly name: string;
  readonly resources: readonly WishedResource[];
  readonly graph: Graph;
  readonly priority: (typeof PRIORITIES)[number];
  readonly settings: DeploymentSettings;
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
  /** Tells one request from another, however it is spelt. */
  readonly fingerprint: string;
}

interface Mistake {
  readonly code: 'VALIDATION_FAILED' | 'DEPENDENCY_ERROR' | 'CIRCULAR_DEPENDENCY';
  /** `resources.1.name`. */
  readonly field: string;
  readonly message: string;
  /** Closed: its last is its first. */
  readonly cycle?: readonly string[];
}

/** Throws Refused: 400 with all mistakes, 422 with all resources whose engine is not here, 503 where it takes something again soon. */
export function parseWish(body: unknown, choice: Choice): Wish {
  const { engines, preferred } = choice;
  const sketch = Sketch.parse(body);
  const graph = graphOf(sketch);
  const request = DeploymentRequest.safeParse(body);
  const engineOf = ({ engine = preferred }: { engine?: string | undefined }): string => engine;
  const configs = (request.data?.resources ?? []).map((resource) =>
    engines.includes(engineOf(resource)) ? ModuleConfig.safeParse(resource.config) : undefined,
  );
  demandNone([
    ...(request.error ? mistakesOf(request.error, '') : []),
    ...configs.flatMap((config, index) =>
      config?.error ? mistakesOf(config.error, `resources.${index}.config.`) : [],
    ),
    ...((sketch.composer ?? sketch.team) === undefined ? [invalid('composer', 'composer is required')] : []),
    ...doubles(sketch),
    ...conflicts(sketch),
    ...references(sketch, graph.names),
    ...strangers(sketch, graph.names),
    ...circles(graph),
  ]);
  if (!request.success) throw request.error;
  demandEngines(
    request.data.resources.map((resource) => ({ name: resource.name, engine: engineOf(resource) })),
    choice,
  );
  const { config: settings, dependencies: _, resources, name, ...rest } = request.data;
  return {
    ...rest,
    name: name ?? stackNameOf(rest.id),
    settings: { ...limitOf(resources.map(engineOf), choice), ...settings },
    graph,
    labels: request.data.labels,
    annotations: request.data.annotations,
    resources: resources.flatMap((resource, index) => {
      const { name, catalogRef } = resource;
      const config = configs[index]?.data;
      return config ? [{ name, engine: engineOf(resource), catalogRef, config }] : [];
    }),
    fingerprint: fingerprint({
      ...request.data,
      // Not by which was chosen: that may be another one when the same is asked again.
      resources: resources.map((resource) => ({ ...resource, engine: resource.engine ?? FIRST_ENGINE })),
      dependencies: graph.edges,
    }),
  };
}

/** What a request that names no engine has always been written down with. */
const FIRST_ENGINE = 'terraform';

/** `team-alpha-web-app-v1` and `team-alpha-web-app-v2` are two deployments of one thing. */
function stackNameOf(id: string): string {
  return id.replace(/-v\d+([.-]\d+)*$/, '') || id;
}

/** Throws Refused 400 with all that is wrong. */
export function parse<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  demandNone(mistakesOf(result.error, ''));
  throw result.error;
}

function mistakesOf(error: z.ZodError, prefix: string): Mistake[] {
  return error.issues.map(({ path, message }) =>
    invalid(`${prefix}${path.join('.')}`.replace(/\.$/, ''), message),
  );
}

function invalid(field: string, message: string): Mistake {
  return { code: 'VALIDATION_FAILED', field, message };
}

/** Of one mistake the code is its own; of several that of whatever is wrong with a request. */
export function demandNone(mistakes: readonly Mistake[]): void {
  const [first] = mistakes;
  if (!first) return;
  const codes = new Set(mistakes.map(({ code }) => code));
  const [code = first.code] = codes.size === 1 ? codes : ['VALIDATION_FAILED' as const];
  const message = mistakes.map((one) => textOf(one)).join('; ');
  const cycle = mistakes.find((one) => one.cycle)?.cycle;
  throw new Refused(400, code, message, { problems: mistakes, ...(cycle ? { cycle } : {}) });
}

function textOf({ code, field, message }: Mistake): string {
  return code !== 'VALIDATION_FAILED' || field === '' || message.startsWith(field)
    ? message
    : `${field}: ${message}`;
}

function doubles({ resources }: Sketch): Mistake[] {
  return resources.flatMap(({ name }, index) =>
    name !== '' && resources.findIndex((other) => other.name === name) < index
      ? [invalid(`resources.${index}.name`, `${name} is the name of two resources`)]
      : [],
  );
}

function conflicts({ resources }: Sketch): Mistake[] {
  const names = new Set(resources.map(({ name }) => name));
  return resources.flatMap(({ name, conflictsWith, conflicts_with }, index) =>
    [...conflictsWith, ...conflicts_with]
      .filter((other) => names.has(other))
      .map((other) =>
        invalid(`resources.${index}.conflictsWith`, `${name} cannot be deployed beside ${other}`),
      ),
  );
}

/** Whatever is named as a dependency is a resource of the same request. */
function strangers({ resources, dependencies }: Sketch, names: readonly string[]): Mistake[] {
  const unknown = (name: string, field: string): Mistake[] =>
    name === '' || names.includes(name)
      ? []
      : [{ code: 'DEPENDENCY_ERROR', field, message: `unknown resource in dependencies: ${name}` }];
  return [
    ...dependencies.flatMap(({ from, to }, index) => [
      ...unknown(from, `dependencies.${index}.from`),
      ...unknown(to, `dependencies.${index}.to`),
    ]),
    ...resources.flatMap(({ dependsOn, depends_on }, index) =>
      [...dependsOn, ...depends_on].flatMap((name) => unknown(name, `resources.${index}.dependsOn`)),
    ),
  ];
}

function circles(graph: Graph): Mistake[] {
  return circlesIn(graph).map((cycle) => ({
    code: 'CIRCULAR_DEPENDENCY',
    field: 'dependencies',
    message: `circular dependency: ${cycle.join(' → ')}`,
    cycle,
  }));
}

/** What a variable takes of another resource is a dependency, whether it is told or not. */
function referredBy({ name, config }: Sketch['resources'][number]): Edge[] {
  return textsIn(config.variables)
    .flatMap(safeReferences)
    .filter(({ kind }) => kind === 'module')
    .map((reference) => ({ from: reference.name, to: name }));
}

function safeReferences(text: string): ReturnType<typeof referencesOf> {
  try {
    return referencesOf(text);
  } catch {
    return [];
  }
}

function references({ resources }: Sketch, names: readonly string[]): Mistake[] {
  return resources.flatMap(({ config }, index) =>
    textsIn(config.variables).flatMap((text) =>
      wrongWith(text, `resources.${index}.config.variables`, names),
    ),
  );
}

function wrongWith(text: string, field: string, names: readonly string[]): Mistake[] {
  try {
    return referencesOf(text).flatMap(({ text: whole, kind, name }): Mistake[] => {
      if (kind === 'module' && names.includes(name)) return [];
      return [
        { code: 'DEPENDENCY_ERROR', field, message: `${whole} refers to no resource of this deployment` },
      ];
    });
  } catch (error) {
    return [invalid(field, error instanceof Error ? error.message : String(error))];
  }
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}
