/** Tells the journal of a deployment while it is written, in its order, what tools say included. */

import { isCommandType } from '@service-director/shared/contract/command.ts';
import type { DeploymentDetail } from '@service-director/shared/contract/state.ts';
import { never } from '@service-director/shared/kit/never.ts';
import { z } from 'zod';
import type { RunContext } from './context.ts';
import type { Desk } from './desk.ts';
import type { CommandDetail } from './director-http.ts';
import type { ConductorEvent } from './event.ts';
import { DATAFLOW } from './module-place.ts';
import { waitTeller } from './waiting.ts';

export interface Following {
  /** The command with its deployments, of which the first is told. */
  see(found: Pick<CommandDetail, 'id' | 'type' | 'deployments'>): void;
  /** Resolves when all of it was told. */
  end(): Promise<void>;
}

/** How often the journal is read while the director is at work, in milliseconds. */
const READ_MS = 300;

export function followJournal(desk: Desk, { emit, clock, signal }: RunContext): Following {
  const ended = new AbortController();
  let command = '';
  let deployment: string | undefined;
  let told = 0;
  let isPlanTold = false;
  const tellWait = waitTeller(emit);

  /** From here on it goes on without us. */
  function tellAccepted(id: string, type = ''): void {
    if (!isCommandType(type)) return;
    const event = { type: 'accepted', command: id, command_type: type, dataflow: DATAFLOW } as const;
    emit({ type: 'director', id: `${id} accepted`, event });
  }

  async function read(): Promise<void> {
    const id = deployment;
    if (id === undefined) return;
    const detail = await desk.ask((director) => director.deployment(id));
    tellWait(detail);
    for (const line of detail.events.slice(told)) tellLine(line, detail);
    told = detail.events.length;
    tellPlan(detail);
  }

  function tellLine(line: DeploymentDetail['events'][number], detail: DeploymentDetail): void {
    if (line.type === 'status' && !PLANNING.has(String(line.status))) tellPlan(detail);
    for (const event of eventsOf(line, command, detail.id)) emit(event);
  }

  function tellPlan({ id: of, report: { stack, plan } }: DeploymentDetail): void {
    if (isPlanTold || !plan) return;
    isPlanTold = true;
    const event = { type: 'planned', command, deployment: of, stack, plan } as const;
    emit({ type: 'director', id: `${of} plan`, event });
  }

  async function go(): Promise<void> {
    while (!ended.signal.aborted && !signal.aborted) {
      await read();
      await clock.sleep(READ_MS, AbortSignal.any([ended.signal, signal])).catch(() => {});
    }
  }
  // That a director does not answer is told where its last word is awaited.
  const going = go().catch(() => {});

  return {
    see({ id, type, deployments: [first] }) {
      if (command === '') tellAccepted(id, type);
      command = id;
      deployment = first?.id;
    },
    async end() {
      ended.abort();
      await going;
      if (!signal.aborted) await read().catch(() => {});
    },
  };
}

/** Before there is a plan. */
const PLANNING: ReadonlySet<string> = new Set(['queued', 'waiting_for_lock', 'planning']);

const about = { at: z.string(), stack: z.string() };
const Line = z.discriminatedUnion('type', [
  z.object({ ...about, type: z.literal('status'), status: z.string() }),
  z.object({ ...about, type: z.literal('intend'), unit: z.string(), action: z.string() }),
  z.object({ ...about, type: z.literal('waiting'), unit: z.string(), because: z.string() }),
  z.object({
    ...about,
    type: z.literal('log'),
    unit: z.string(),
    level: z.string(),
    message: z.string(),
  }),
  z.object({
    ...about,
    type: z.literal('finish'),
    unit: z.string(),
    result: z.string(),
    seconds: z.number(),
    because: z.string().optional(),
  }),
]);

/** None for what a newer director writes. */
function eventsOf(written: unknown, command: string, deployment: string): ConductorEvent[] {
  const line = Line.safeParse(written).data;
  if (!line) return [];
  const { at, stack } = line;
  const director = (event: (ConductorEvent & { type: 'director' })['event']): ConductorEvent[] => [
    { type: 'director', id: `${deployment} ${at} ${line.type}`, event },
  ];
  switch (line.type) {
    case 'status':
      return director({ type: 'status', command, deployment, stack, status: line.status });
    case 'intend':
      return director({ type: 'unit-started', command, stack, unit: line.unit, change: line.action });
    case 'waiting':
      return director({ type: 'unit-waiting', command, stack, unit: line.unit, because: line.because });
    case 'log': {
      const said = line.level === 'info' ? line.message : `${line.level}: ${line.message}`;
      return [{ type: 'task-output', phase: 'deploy', task: line.unit, line: said }];
    }
    case 'finish': {
      const { unit, result, seconds, because } = line;
      const why = because === undefined ? {} : { because };
      return director({ type: 'unit-finished', command, stack, unit, result, seconds, ...why });
    }
    default:
      return never(line);
  }
}
