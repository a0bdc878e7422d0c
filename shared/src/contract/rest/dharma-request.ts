/** What is asked of the dialect at `/api`, as its clients write it. */
import { z } from 'zod';

/** Their own words for what is wrong; clients show them. */
export const WRONG = {
  ids: 'blueprintId and generationJobId are required',
  environment: 'Invalid environment. Must be: dev, staging, or production',
  targetCloud: 'Invalid targetCloud. Must be: azure, aws, or gcp',
  format: 'Invalid format. Must be: terraform, bicep, or cloudformation',
} as const;

const Id = z.string({ error: WRONG.ids }).regex(/^[\w.:-]{1,200}$/, { error: WRONG.ids });

/** In the order in which mistakes are told: one at a time, as the older service did. */
export const StartRequest = z.strictObject({
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

export const RollbackRequest = z.strictObject({
  targetVersion: z.number({ error: 'targetVersion is a whole number' }).int().nonnegative().optional(),
  reason: z.string({ error: 'reason is required' }).trim().min(1, { error: 'reason is required' }).max(1_000),
});

const WHO = 'operation and who are required';
export const LockRequest = z.strictObject({
  operation: z.string({ error: WHO }).trim().min(1, { error: WHO }).max(100),
  who: z.string({ error: WHO }).trim().min(1, { error: WHO }).max(200),
});

export const UnlockRequest = z
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
