/** The options that several commands have, by what they are for. */
import type { CliOption } from './command.ts';

export const json: CliOption = { type: 'boolean', help: 'JSON on stdout, one object a line' };

export const place = {
  'local-dir': { type: 'string', value: 'DIR', help: 'the folder of a local cloud (default .localcloud)' },
  endpoint: { type: 'string', value: 'URL', help: 'the root of all Google APIs, where it is not Google' },
  json,
} as const satisfies Record<string, CliOption>;

export const environment: CliOption = {
  type: 'string',
  value: 'NAME',
  help: 'one of the deployment_environments',
};

export const directorUrl = {
  'director-url': { type: 'string', value: 'URL', help: 'a director that runs already' },
} as const satisfies Record<string, CliOption>;

/** What tells of which architecture, and where. */
export const target = {
  environment,
  local: { type: 'boolean', help: 'on a local cloud, started if need be' },
  propagation: {
    type: 'string',
    value: 'DURATION',
    help: 'how long grants take on a local cloud that is started (default 2s)',
  },
  ...directorUrl,
  ...place,
} as const satisfies Record<string, CliOption>;

/** The same for commands that only look. */
export const looked = {
  environment,
  local: { type: 'boolean', help: 'on the local cloud, which must be running' },
  ...place,
} as const satisfies Record<string, CliOption>;

export const running = {
  dataflow: { type: 'string', value: 'NAME', help: 'only this dataflow' },
  timeout: {
    type: 'string',
    value: 'DURATION',
    help: 'when to give up here; the director goes on (default 30m)',
  },
  concurrency: { type: 'string', value: 'N', help: 'how much is done at once (default 16)' },
} as const satisfies Record<string, CliOption>;

export const reason: CliOption = { type: 'string', value: 'TEXT', help: 'why, for the history' };

export const autoApprove: CliOption = {
  type: 'boolean',
  help: 'stands for the approval where one is needed, and is noted as such',
};

/** How what the director is told is to be done. */
export const wishes = {
  'auto-approve': autoApprove,
  'lock-id': {
    type: 'string',
    value: 'ID',
    help: 'the id of a lock that you hold: that one does not stop you',
  },
  priority: {
    type: 'string',
    value: 'NAME',
    choices: ['high', 'normal', 'low'],
    help: "the place in a stack's queue: high, normal (default) or low",
  },
} as const satisfies Record<string, CliOption>;

/** The same for what may fail half-way. */
export const working = {
  ...wishes,
  'on-failure': {
    type: 'string',
    value: 'WHAT',
    choices: ['keep', 'rollback'],
    help: 'what becomes of a deployment that failed half-way: keep (default) or rollback',
  },
  reason,
} as const satisfies Record<string, CliOption>;

/** The same for those who ask a director alone, which takes no architecture. */
export const asked = {
  ...looked,
  local: {
    type: 'boolean',
    help: 'on the local cloud, which must be running; its only director needs no FILE',
  },
  'director-url': {
    type: 'string',
    value: 'URL',
    help: 'a director that runs already; with it no FILE is needed',
  },
} as const satisfies Record<string, CliOption>;

/** What a question to the director, or a word to it, has beside. */
export const desk = {
  ...asked,
  timeout: {
    type: 'string',
    value: 'DURATION',
    help: 'how long a director that does not answer is asked again (default 1m)',
  },
} as const satisfies Record<string, CliOption>;

export const deciding = {
  ...desk,
  timeout: { type: 'string', value: 'DURATION', help: 'when to give up here (default 5m)' },
} as const satisfies Record<string, CliOption>;
