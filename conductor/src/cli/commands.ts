/** All commands. A new one is one new file and one new entry here, or in `director-commands.ts`. */
import { PHASES } from '../event.ts';
import type { CliCommand } from './command.ts';
import { directorCommands } from './director-commands.ts';
import {
  asked,
  environment,
  json,
  looked,
  place,
  reason,
  running,
  target,
  wishes,
  working,
} from './options.ts';

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
      name: { type: 'string', value: 'NAME', help: 'the name of the module (default: that of the folder)' },
      var: {
        type: 'string',
        multiple: true,
        value: 'KEY=VALUE',
        help: "a variable, as text; KEY:=JSON for others. It is kept in the director's state: a secret belongs into the director's environment, as TF_VAR_KEY",
      },
      project: {
        type: 'string',
        value: 'ID',
        help: "the project of the director, where neither a FILE nor its URL leads to it (default: GOOGLE_CLOUD_PROJECT, or the local cloud's)",
      },
      region: {
        type: 'string',
        value: 'NAME',
        help: 'the region of the director, where no FILE says it (default us-central1)',
      },
      environment: { ...environment, help: 'what it is deployed to, such as production' },
      local: asked.local,
      'director-url': asked['director-url'],
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
    options: {
      ...asked,
      limit: {
        type: 'string',
        value: 'N',
        help: 'how much of what is under way, and without a FILE how many stacks (default 50)',
      },
    },
    load: () => import('./status.ts'),
  },
  ...directorCommands,
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
    usage: 'doctor [FILE]',
    summary:
      'What this machine has of what may be needed; and what a director says may keep deployments back',
    options: asked,
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
