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

/** Of a deployment. */
const STATUSES = [
  'queued',
  'waiting_for_lock',
  'planning',
  'awaiting_approval',
  'applying',
  'cancelling',
  'succeeded',
  'failed',
  'cancelled',
];

const reason: CliOption = { type: 'string', value: 'TEXT', help: 'why, for the history' };

const autoApprove: CliOption = {
  type: 'boolean',
  help: 'stands for the approval where one is needed, and is noted as such',
};

/** How what the director is told is to be done. */
const wishes = {
  'auto-approve': autoApprove,
  'lock-id': { type: 'string', value: 'ID', help: 'of a lock of your own: it does not stop you' },
  priority: {
    type: 'string',
    value: 'NAME',
    choices: ['high', 'normal', 'low'],
    help: "the place in a stack's queue: high, normal (default) or low",
  },
} as const satisfies Record<string, CliOption>;

/** The same for what may fail half-way. */
const working = {
  ...wishes,
  'on-failure': {
    type: 'string',
    value: 'WHAT',
    choices: ['keep', 'rollback'],
    help: 'what becomes of a deployment that failed half-way: keep (default) or rollback',
  },
  reason,
} as const satisfies Record<string, CliOption>;

/** What a question to the director, or a word to it, has beside. */
const desk = {
  ...looked,
  ...directorUrl,
  timeout: {
    type: 'string',
    value: 'DURATION',
    help: 'how long a director that does not answer is asked again (default 1m)',
  },
} as const satisfies Record<string, CliOption>;

const deciding = {
  ...desk,
  timeout: { type: 'string', value: 'DURATION', help: 'when to give up here (default 5m)' },
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
      ...working,
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
  deploy: {
    usage: 'deploy DIR [FILE]',
    summary: 'Have a director deploy a folder of Terraform code, by itself; prints what it outputs',
    options: {
      engine: {
        type: 'string',
        value: 'NAME',
        choices: ['terraform'],
        help: 'whose code it is: terraform (default)',
      },
      name: { type: 'string', value: 'NAME', help: 'of the module (default: that of the folder)' },
      var: {
        type: 'string',
        multiple: true,
        value: 'KEY=VALUE',
        help: "a variable, as text; KEY:=JSON for others. It is kept in the director's state: a secret belongs into the director's environment, as TF_VAR_KEY",
      },
      project: {
        type: 'string',
        value: 'ID',
        help: "of the director, where no FILE says it (default: GOOGLE_CLOUD_PROJECT, or the local cloud's)",
      },
      region: {
        type: 'string',
        value: 'NAME',
        help: 'of the director, where no FILE says it (default us-central1)',
      },
      environment: { ...environment, help: 'what it is deployed to, such as production' },
      local: looked.local,
      ...directorUrl,
      ...place,
      timeout: running.timeout,
      ...wishes,
      reason,
      'dry-run': { type: 'boolean', help: 'only say what would be done' },
      destroy: { type: 'boolean', help: 'take it down again, all of it' },
    },
    load: () => import('./deploy.ts'),
  },
  down: {
    usage: 'down [FILE]',
    summary: 'Take an architecture down; what is permanent or protected stays, and is named',
    options: {
      ...target,
      ...running,
      ...working,
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
  deployments: {
    usage: 'deployments [get|logs ID] [FILE]',
    summary: 'The deployments of the director, newest first; all of one, or its journal',
    words: ['get', 'logs'],
    isWordOptional: true,
    options: {
      ...desk,
      stack: {
        type: 'string',
        value: 'NAME',
        help: 'only of this dataflow, or of any stack by its whole name',
      },
      status: {
        type: 'string',
        value: 'NAME',
        choices: STATUSES,
        help: `only in this status (${STATUSES.join(', ')})`,
      },
      limit: { type: 'string', value: 'N', help: 'how many, the newest (default 20)' },
      follow: { type: 'boolean', short: 'f', help: 'with logs: go on until it has ended' },
    },
    load: () => import('./deployments.ts'),
  },
  history: {
    usage: 'history DATAFLOW [FILE]',
    summary: 'The versions of the state of a dataflow, newest first, and which can be restored',
    options: {
      ...desk,
      limit: { type: 'string', value: 'N', help: 'how many, the newest (default 10)' },
    },
    load: () => import('./history.ts'),
  },
  state: {
    usage: 'state DATAFLOW [FILE]',
    summary: 'What a dataflow has, its version, who has locked it, who waits',
    options: {
      ...desk,
      audit: { type: 'boolean', help: 'who asked for what instead, and whether that account is whole' },
      limit: { type: 'string', value: 'N', help: 'with --audit: how many rows, the newest (default 100)' },
    },
    load: () => import('./state.ts'),
  },
  approve: {
    usage: 'approve DEPLOYMENT [FILE]',
    summary: 'Approve the plan of a deployment that waits for it, or reject it',
    options: {
      ...deciding,
      reject: { type: 'boolean', help: 'reject it: nothing of it is done' },
      reason,
      'plan-hash': {
        type: 'string',
        value: 'HASH',
        help: 'of the plan that was read (default: as it is now)',
      },
    },
    load: () => import('./approve.ts'),
  },
  cancel: {
    usage: 'cancel ID [FILE]',
    summary: 'Tell a deployment to stop; what is done stays',
    options: {
      ...deciding,
      command: { type: 'boolean', help: 'the ID is of a command: all of its deployments' },
      reason,
    },
    load: () => import('./cancel.ts'),
  },
  rollback: {
    usage: 'rollback DATAFLOW [FILE]',
    summary: 'Bring a dataflow back to an earlier version, and say what cannot be restored',
    options: {
      ...desk,
      timeout: running.timeout,
      deployment: { type: 'boolean', help: 'the name is the id of a deployment: what it did is undone' },
      'to-version': { type: 'string', value: 'N', help: 'which one (default: the one before)' },
      reason,
      ...wishes,
      'dry-run': { type: 'boolean', help: 'only say what would be done' },
    },
    load: () => import('./rollback.ts'),
  },
  lock: {
    usage: 'lock DATAFLOW [FILE]',
    summary: 'Lock a dataflow by hand; prints the id that gives the lock back',
    options: {
      ...deciding,
      operation: { type: 'string', value: 'NAME', help: 'what it is held for (default manual)' },
      reason,
      who: { type: 'string', value: 'NAME', help: 'on whose behalf, where it is not you' },
    },
    load: () => import('./lock.ts'),
  },
  unlock: {
    usage: 'unlock DATAFLOW [FILE]',
    summary: 'Give a lock back, or take it away',
    options: {
      ...deciding,
      'lock-id': { type: 'string', value: 'ID', help: 'what lock printed' },
      force: { type: 'boolean', help: 'take away a lock of somebody else, or of a deployment' },
      reason: { ...reason, help: 'why; --force wants it' },
    },
    load: () => import('./unlock.ts'),
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
    usage: 'local start|stop|status|env|reset [FILE]',
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
        help: "start: the project that is there at first; env: the one to use (default: the architecture's)",
      },
      environment: { ...environment, help: 'env: one of the deployment_environments of the architecture' },
      yes: { type: 'boolean', help: 'reset: forget everything' },
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
