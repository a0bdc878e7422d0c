/** Requests of the dialect at `/api`, as its clients write them, and the commands that they come to. */
import { z } from 'zod';
import { scopeNameFor } from '../environment.ts';

/** Their own words for what is wrong; clients show them. */
export const WRONG = {
  ids: 'blueprintId and generationJobId are required',
  environment: 'Invalid environment. Must be: dev, staging, or production',
  targetCloud: 'Invalid targetCloud. Must be: azure, aws, or gcp',
  format: 'Invalid format. Must be: terraform, bicep, or cloudformation',
} as const;

const Id = z.string({ error: WRONG.ids }).regex(/^[\w.:-]{1,200}$/, { error: WRONG.ids });

/** In the order in which mistakes are told: one at a time, as the older service did. */
const Start = z.strictObject({
  blueprintId: Id,
  generationJobId: Id,
  environment: z.enum(['production', 'staging', 'dev'], { error: WRONG.environment }),
  targetCloud: z.enum(['azure', 'aws', 'gcp'], { error: WRONG.targetCloud }),
  format: z.enum(['terraform', 'bicep', 'cloudformation'], { error: WRONG.format }),
  options: z
    .strictObject({
      autoApprove: z.boolean().default(false),
      dryRun: z.boolean().default(false),
      parallelism: z.number().int().min(1).max(100).default(10),
      resourceGroup: z.string().max(200).optional(),
      region: z.string().max(100).optional(),
      rollbackOnFailure: z.boolean().default(false),
      lockId: z.string().min(1).max(200).optional(),
      /** How long it may take, in milliseconds; more than the director’s own setting, or less. */
      timeout: z.number().int().min(1_000).max(86_400_000).optional(),
    })
    .prefault({}),
});
export type Start = z.output<typeof Start>;

export const Rollback = z.strictObject({
  targetVersion: z.number({ error: 'targetVersion is a whole number' }).int().nonnegative().optional(),
  reason: z.string({ error: 'reason is required' }).trim().min(1, { error: 'reason is required' }).max(1_000),
});

const WHO = 'operation and who are required';
export const Lock = z.strictObject({
  operation: z.string({ error: WHO }).trim().min(1, { error: WHO }).max(100),
  who: z.string({ error: WHO }).trim().min(1, { error: WHO }).max(200),
});

export const Unlock = z
  .strictObject({
    lockId: z.string().min(1).max(200).optional(),
    force: z.boolean().default(false),
    who: z.string().max(200).optional(),
    reason: z.string().trim().min(1).max(1_000).optional(),
  })
  .refine(({ lockId, force }) => lockId !== undefined || force, { error: 'lockId is required' })
  .refine(({ force, reason }) => !force || reason !== undefined, {
    error: 'reason is required to unlock by force',
  });

/** The first mistake of a request, in its clients' words. */
export class Wrong extends Error {}

export function parse<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const result = schema.safeParse(body ?? {});
  if (result.success) return result.data;
  const [first] = result.error.issues;
  const path = first?.path.join('.') ?? '';
  const isOwn = first?.code === 'custom' || Object.values(WRONG).some((text) => text === first?.message);
  throw new Wrong(
    isOwn || path === '' || !first ? (first?.message ?? 'bad request') : told(first.message, path),
  );
}

function told(message: string, path: string): string {
  return /required|is a whole number/.test(message) ? message : `${path}: ${message}`;
}

export function parseStart(body: unknown): Start {
  return parse(Start, body);
}

/** What has a state of its own: a blueprint in an environment, in one cloud and one format. */
export function scopeNameOf({ blueprintId, targetCloud, format }: Start): string {
  return scopeNameFor('bp', blueprintId, [blueprintId, targetCloud, format]);
}

/** One dataflow with one module, whose code the generator has. */
export const STACK = 'main';

export function documentOf(start: Start, project: string, region: string): object {
  const { generationJobId, environment, options } = start;
  return {
    name: scopeNameOf(start),
    project_id: project,
    region,
    dataflows: {
      [STACK]: {
        lifecycle: { strategy: 'ephemeral' },
        modules: {
          [STACK]: { source: { generator: generationJobId }, parallelism: options.parallelism },
        },
      },
    },
    deployment_environments: { [environment]: {} },
  };
}
