/**
 * What is asked of the dialect at `/api/v1`, as its clients write it. Whether the graph in it can be deployed is seen by
 * the director beside this.
 */
import { z } from 'zod';
import { durationWithin, ServiceName, secondsOf } from '../../model/fields.ts';
import { PRIORITIES } from '../command.ts';
import { Environment } from './environment.ts';

export const MOST_RESOURCES = 200;
export const MOST_EDGES = 5_000;

export const ID = /^[A-Za-z0-9][\w.-]{0,127}$/;
const Id = z.string().regex(ID, {
  error: 'an id has at most 128 letters, digits or any of _ . -, and begins with a letter or digit',
});
const Words = z.string().trim().min(1).max(200);
const Name = ServiceName.meta({ description: 'The name of a resource' });
const Names = z.array(z.string().min(1).max(100)).max(MOST_RESOURCES).default([]);
/** Kept with the deployment as they were sent. */
const Notes = z
  .record(z.string().min(1).max(100), z.string().max(500))
  .refine((notes) => JSON.stringify(notes).length <= 1_000, {
    error: 'together they have at most 1000 characters',
  })
  .optional();

const Resource = z
  .strictObject({
    name: Name,
    catalogRef: Words.optional(),
    catalog_ref: Words.optional(),
    /** The third spelling of a reference to the catalog. */
    type: Words.optional(),
    engine: z.string().min(1).max(100).optional(),
    config: z.record(z.string(), z.unknown()).default({}),
    depends_on: Names,
    dependsOn: Names,
    conflicts_with: Names,
    conflictsWith: Names,
  })
  .transform(
    ({ catalogRef, catalog_ref, type, depends_on, dependsOn, conflicts_with, conflictsWith, ...rest }) => ({
      ...rest,
      catalogRef: catalogRef ?? catalog_ref ?? type,
      dependsOn: [...new Set([...depends_on, ...dependsOn])],
      conflictsWith: [...new Set([...conflicts_with, ...conflictsWith])],
    }),
  );

/** What holds for the deployment as a whole. */
const Settings = z
  .strictObject({
    dryRun: z.boolean().default(false),
    /** Stands for the approval where one is needed, and is recorded as such. */
    autoApprove: z.boolean().default(false),
    onFailure: z.enum(['keep', 'rollback']).default('keep'),
    /** What is done about another deployment of the same stack that has not ended. */
    onConflict: z.enum(['queue', 'refuse']).default('queue'),
    timeoutSeconds: z.number().int().positive().max(86_400).optional(),
    /** The same in words: `300s`, `5m`. */
    timeout: durationWithin('1s', '24h').optional(),
    reason: z.string().trim().min(1).max(1_000).optional(),
  })
  .refine(({ timeout, timeoutSeconds }) => timeout === undefined || timeoutSeconds === undefined, {
    error: 'say timeout or timeoutSeconds, not both',
    path: ['timeout'],
  })
  .transform(({ timeout, timeoutSeconds, ...rest }) => {
    const seconds = timeout === undefined ? timeoutSeconds : Math.ceil(secondsOf(timeout));
    return { ...rest, ...(seconds === undefined ? {} : { timeoutSeconds: seconds }) };
  });

export type DeploymentSettings = z.output<typeof Settings>;

export const DeploymentRequest = z
  .strictObject({
    id: Id,
    composer: Words.optional(),
    team: Words.optional(),
    /** What has a state of its own, where the id does not tell. */
    name: Words.optional(),
    environment: Environment,
    resources: z.array(Resource).min(1, { error: 'name at least one resource' }).max(MOST_RESOURCES),
    dependencies: z
      .array(z.strictObject({ from: z.string().min(1).max(100), to: z.string().min(1).max(100) }))
      .max(MOST_EDGES)
      .default([]),
    priority: z.enum(PRIORITIES).default('normal'),
    labels: Notes,
    annotations: Notes,
    config: Settings.prefault({}),
  })
  .transform(({ team, composer, ...rest }) => ({ ...rest, composer: composer ?? team ?? '' }));
/** As a client writes it. */
export type DeploymentRequest = z.input<typeof DeploymentRequest>;

export const RollbackRequest = z.strictObject({
  targetVersion: z.number().int().nonnegative().optional(),
  target_version: z.number().int().nonnegative().optional(),
  reason: z.string().trim().min(1).max(1_000).default('asked for over the API'),
});

/** By which whatever has no id of its own is known again. */
export const IdempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,200}$/, { error: 'an Idempotency-Key has 1 to 200 visible characters' });
