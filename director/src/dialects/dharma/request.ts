/** Requests of the dialect at `/api`, as its clients write them, and the commands that they come to. */
import { StartRequest, WRONG } from '@service-director/shared/contract/rest/dharma-request.ts';
import type { z } from 'zod';
import { scopeNameFor } from '../environment.ts';

export type Start = z.output<typeof StartRequest>;

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
  return parse(StartRequest, body);
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
