/** Which APIs a director speaks, and in which versions. */
import { z } from 'zod';
import { TextRefusal } from './dharma.ts';
import { route } from './route.ts';

export const Versions = z.object({
  current: z.string().describe('The version below /api that is the newest.'),
  versions: z.array(z.string()).describe('All of them, the newest first.'),
  apis: z.array(
    z.object({
      name: z.enum(['native', 'graphs', 'blueprints', 'builds', 'gates']),
      path: z.string().describe('What its paths begin with.'),
      version: z.string().optional().describe('Absent where its paths name none.'),
    }),
  ),
  documentation: z.literal('/openapi.json'),
});
export type Versions = z.output<typeof Versions>;

export const VERSION_ROUTES = {
  getVersions: route({
    method: 'get',
    path: '/api/versions',
    tag: 'director',
    refusal: TextRefusal,
    summary: 'Which APIs it speaks, and in which versions',
    answers: { 200: { description: 'All of them.', schema: Versions } },
  }),
} as const;
