/** All commands. A new one is one new file and one new entry here. */
import { PHASES } from '../event.ts';
import type { CliCommand, CliOption } from './command.ts';

const json: CliOption = { type: 'boolean', help: 'JSON on stdout, one object a line' };

const place = {
  'local-dir': { type: 'string', value: 'DIR', help: 'the folder of a local cloud (default .localcloud)' },
  endpoint: { type: 'string', value: 'URL', help: 'the root of all Google APIs, where it is not Google' },
  json,
} as const satisfies Record<string, CliOption>;

const environment: CliOption = {
  type: 'string',
  value: 'NAME',
  help: 'one of the deployment_environments',
};

const directorUrl = {
  'director-url': { type: 'string', value: 'URL', help: 'a director that runs already' },
} as const satisfies Record<string, CliOption>;

/** What tells of which architecture, and where. */
const target = {
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
const looked = {
  environment,
  local: { type: 'boolean', help: 'on the local cloud, which must be running' },
  ...place,
} as const satisfies Record<string, CliOption>;

const running = {
  dataflow: { type: 'string', value: 'NAME', help: 'only this dataflow' },
  timeout: {
    type: 'string',
    value: 'DURATION',
    help: 'when to give up here; the director goes on (default 30m)',
  },
  concurrency: { type: 'string', value: 'N', help: 'how much is done at once (default 16)' },
} as const satisfies Record<string, CliOption>;

export const commands = {
  validate: {
    usage: 'validate [FILE]',
    summary: 'Check an architecture and say everything that is wrong with it',
    options: {
      environment,
      hydrated: { type: 'boolean', help: 'print the whole of what it means, as YAML' },
      json,
    },
    load: () => import('./validate.ts'),
  },
  plan: {
    usage: 'plan [FILE]',
    summary: 'Say what an up would change, who gains or loses which permission, and how long it takes',
    options: {
      ...target,
      ...running,
      'detailed-exitcode': { type: 'boolean', help: 'exit with 2 when there are changes' },
    },
    load: () => import('./plan.ts'),
  },
  up: {
    usage: 'up [FILE]',
    summary: 'Stand an architecture up, or bring it up to date',
    options: {
      ...target,
      ...running,
      only: {
        type: 'string',
        multiple: true,
        value: 'PHASE',
        choices: PHASES,
        help: `only this phase (${PHASES.join(', ')})`,
      },
      skip: {
        type: 'string',
        multiple: true,
        value: 'PHASE',
        choices: PHASES,
        help: 'all but this phase',
      },
      builder: {
        type: 'string',
        value: 'NAME',
        choices: ['cloud-build', 'docker'],
        help: 'cloud-build (default) or docker',
      },
    },
    load: () => import('./up.ts'),
  },
  down: {
    usage: 'down [FILE]',
    summary: 'Take an architecture down; what is permanent or protected stays, and is named',
    options: {
      ...target,
      ...running,
      'keep-director': { type: 'boolean', help: 'the director stays' },
      'test-run': { type: 'boolean', help: 'keep resources of dataflows with keep_resources_on_test' },
      'dry-run': { type: 'boolean', help: 'only say what would go' },
    },
    load: () => import('./down.ts'),
  },
  status: {
    usage: 'status [FILE]',
    summary: 'What there is, and whether it is well',
    options: { ...looked, ...directorUrl },
    load: () => import('./status.ts'),
  },
  events: {
    usage: 'events [FILE]',
    summary: 'What the director has done, newest last',
    options: {
      ...looked,
      ...directorUrl,
      follow: { type: 'boolean', short: 'f', help: 'go on as it happens' },
      limit: { type: 'string', value: 'N', help: 'of how many commands, the newest (default 50)' },
    },
    load: () => import('./events.ts'),
  },
  logs: {
    usage: 'logs SERVICE [FILE]',
    summary: 'What a service writes',
    options: {
      ...looked,
      follow: { type: 'boolean', short: 'f', help: 'go on as it is written' },
      limit: { type: 'string', value: 'N', help: 'how many lines (default 100)' },
    },
    load: () => import('./logs.ts'),
  },
  director: {
    usage: 'director url|status|logs [FILE]',
    summary: 'Where the director is, how it is, what it writes',
    words: ['url', 'status', 'logs'],
    options: {
      ...looked,
      ...directorUrl,
      follow: { type: 'boolean', short: 'f', help: 'with logs: go on as it is written' },
      limit: { type: 'string', value: 'N', help: 'with logs: how many lines (default 100)' },
    },
    load: () => import('./director.ts'),
  },
  local: {
    usage: 'local start|stop|status|env|reset',
    summary: 'The local cloud: Google Cloud as far as needed, on this machine',
    words: ['start', 'stop', 'status', 'env', 'reset'],
    options: {
      dir: { type: 'string', value: 'DIR', help: 'its folder (default .localcloud)' },
      port: { type: 'string', value: 'N', help: 'start: the port (default: the one before, or a free one)' },
      propagation: {
        type: 'string',
        value: 'DURATION',
        help: 'start: how long grants take to be effective (default 2s)',
      },
      seed: { type: 'string', value: 'N', help: 'start: makes faults repeatable' },
      faults: { type: 'string', value: 'FILE', help: 'start: fault rules, as JSON' },
      project: {
        type: 'string',
        value: 'ID',
        help: 'start: the project that is there at first; env: the one to use',
      },
      format: {
        type: 'string',
        value: 'NAME',
        choices: ['shell', 'json', 'dotenv'],
        help: 'env: shell (default), json or dotenv',
      },
      json,
    },
    load: () => import('./local.ts'),
  },
  schema: {
    usage: 'schema',
    summary: 'The JSON Schema of an architecture, for editors',
    options: {},
    load: () => import('./schema.ts'),
  },
  doctor: {
    usage: 'doctor',
    summary: 'What this machine has of what may be needed',
    options: { json },
    load: () => import('./doctor.ts'),
  },
  completion: {
    usage: 'completion bash|zsh|fish',
    summary: 'A script that completes these commands in a shell',
    words: ['bash', 'zsh', 'fish'],
    options: {},
    load: () => import('./completion.ts'),
  },
  version: {
    usage: 'version',
    summary: 'The version of this conductor',
    options: { json },
    load: () => import('./version.ts'),
  },
} as const satisfies Record<string, CliCommand>;

export type CommandName = keyof typeof commands;
