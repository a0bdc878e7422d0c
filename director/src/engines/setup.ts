/** The engines of modules as a director is set up with them: what their units go to, and what others are told of them. */
import { CloudError } from '@service-director/shared/cloud/error.ts';
import type { Engine } from '@service-director/shared/engine/engine.ts';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import type { Config } from '../config.ts';
import type { Log } from '../observability/log.ts';
import type { Artifacts } from '../store/artifacts.ts';
import { engines } from './index.ts';
import { type Looked, type Pause, type ToolHealth, type ToolWatch, toolWatch } from './watch.ts';

export interface SetupOptions {
  readonly terraform: Config['terraform'];
  /** Undefined where nothing is there to encrypt what tools leave. */
  readonly artifacts: Artifacts | undefined;
  readonly clock: Clock;
  readonly log: Pick<Log, 'info' | 'warn'>;
}

export interface ModuleEngine {
  readonly capabilities: readonly string[];
  /** False where the settings turn it off. */
  readonly isEnabled: boolean;
  /** How long a deployment with it may take that does not say so itself. */
  readonly timeoutSeconds: number | undefined;
  health(): Promise<ToolHealth>;
  pause(): Promise<Pause | undefined>;
}

export interface Setup {
  /** By name, loaded when a unit first asks for it. */
  readonly units: { readonly terraform: () => Promise<Engine> };
  readonly told: { readonly terraform: ModuleEngine };
  /** Looks after the tools from now on. */
  start(): void;
  stop(): void;
  /** What is left to do once no more work is theirs. */
  end(): Promise<void>;
}

/** Between asking a tool to stop and ending it. Cloud Run gives ten seconds to us. Milliseconds. */
const TOOL_GRACE_MS = 8_000;

export function setUpEngines({ terraform: settings, artifacts, clock, log }: SetupOptions): Setup {
  const { isEnabled, timeoutSeconds } = settings;
  const ends: (() => Promise<void>)[] = [];
  const watch = toolWatch({
    name: 'Terraform',
    clock,
    look: (signal) => lookAtTerraform(settings, artifacts, signal),
    onTurn(breaker) {
      if (breaker.state === 'open')
        log.warn('Terraform does not run; new modules wait or are refused', { because: breaker.because });
      else log.info('Terraform runs again', { state: breaker.state });
    },
  });
  return {
    units: {
      terraform: async () => {
        if (!artifacts) throw new Error('There is nowhere to keep what Terraform leaves');
        const engine = await engines.terraform({
          ...settings,
          artifacts,
          clock,
          graceMs: TOOL_GRACE_MS,
          onRun: watch.noteRun,
          atEnd: (job) => void ends.push(job),
        });
        return isEnabled ? watched(engine, watch) : turnedOff(engine);
      },
    },
    told: {
      terraform: {
        capabilities: ['plan', 'apply', 'destroy', 'drift'],
        isEnabled,
        timeoutSeconds,
        health: watch.health,
        pause: watch.pause,
      },
    },
    start: () => isEnabled && watch.start(),
    stop: watch.stop,
    end: async () => void (await Promise.allSettled(ends.map((end) => end()))),
  };
}

async function lookAtTerraform(
  settings: Config['terraform'],
  artifacts: Artifacts | undefined,
  signal: AbortSignal,
): Promise<Looked> {
  if (!artifacts) return { status: 'unhealthy', message: 'set DIRECTOR_STATE_KEY', runs: true };
  const { toolHealthOf, roomHealthOf } = await import('./terraform/health.ts');
  const tool = await toolHealthOf({ ...settings, signal });
  if (!tool.ok) return { status: 'unhealthy', message: `${tool.because}; ${tool.fix}`, runs: tool.isStrange };
  const room = await roomHealthOf(settings);
  if (room.ok) return { status: 'healthy', version: tool.version, runs: true };
  return {
    status: room.isThere ? 'degraded' : 'unhealthy',
    version: tool.version,
    message: `${room.because}; ${room.fix}`,
    runs: true,
  };
}

/** While its tool does not run nothing new is planned with it; what was planned, or is to go, is tried all the same. */
function watched(engine: Engine, watch: ToolWatch): Engine {
  return {
    ...engine,
    async plan(work, context) {
      await watch.demand(context);
      return engine.plan(work, context);
    },
  };
}

/** What is known of its modules can be read; nothing is planned, applied or destroyed. */
function turnedOff(engine: Engine): Engine {
  const refusal = (unit: string, fix: string): CloudError =>
    new CloudError('refused', `${unit} is a module of Terraform, which is turned off on this director`, {
      fix,
    });
  return {
    ...engine,
    async plan({ unit }) {
      throw refusal(unit.id, 'set TERRAFORM_ENABLED=true there, or leave the module out');
    },
    apply: async ({ unit }) => ({
      status: 'failed',
      error: refusal(unit.id, 'set TERRAFORM_ENABLED=true there, then run it again'),
    }),
    destroy: async ({ id }) => ({
      status: 'failed',
      error: refusal(
        id,
        'set TERRAFORM_ENABLED=true there, take it down, and turn it off again: nothing else knows what it made',
      ),
    }),
  };
}
