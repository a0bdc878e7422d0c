/**
 * The director's HTTP API: one table of routes, each with the schemas of what it takes and what it answers. The
 * director validates with them, and the OpenAPI document is printed from them.
 */
import { BUILD_ROUTES } from './rest/builds.ts';
import { COMMAND_ROUTES } from './rest/commands.ts';
import { DEPLOYMENT_ROUTES } from './rest/deployments.ts';
import { DHARMA_ROUTES } from './rest/dharma.ts';
import { DIRECTOR_ROUTES } from './rest/director.ts';
import { NESTOR_ROUTES } from './rest/nestor.ts';
import { OLDER_ROUTES, OWN_ROUTES } from './rest/older.ts';
import type { Route } from './rest/route.ts';
import { STACK_ROUTES } from './rest/stacks.ts';
import { VERIFICATION_ROUTES } from './rest/verification.ts';
import { VERSION_ROUTES } from './rest/versions.ts';
import { WEBHOOK_ROUTES } from './rest/webhooks.ts';

export const ROUTES = {
  ...COMMAND_ROUTES,
  ...DEPLOYMENT_ROUTES,
  ...STACK_ROUTES,
  ...DIRECTOR_ROUTES,
  ...OWN_ROUTES,
  ...OLDER_ROUTES,
  ...WEBHOOK_ROUTES,
  ...VERSION_ROUTES,
  ...NESTOR_ROUTES,
  ...DHARMA_ROUTES,
  ...BUILD_ROUTES,
  ...VERIFICATION_ROUTES,
} as const satisfies Record<string, Route>;
