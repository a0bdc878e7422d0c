/** The engines that deployments of the dialect at `/api/v1` can name, and how they are. */
import type { Choice } from './request.ts';

export interface EngineHealth {
  readonly status: 'healthy' | 'degraded' | 'unhealthy';
  /** Of the tool. */
  readonly version?: string;
  /** What is missing, and what to do about it. */
  readonly message?: string;
}

export interface EngineEntry {
  /** Asked each time: it may look for the tool. */
  health(): Promise<EngineHealth>;
  readonly capabilities: readonly string[];
}

export type EngineEntries = Readonly<Record<string, EngineEntry>>;

export async function engineView(name: string, entry: EngineEntry): Promise<object> {
  return { name, enabled: true, capabilities: entry.capabilities, ...(await healthOf(entry)) };
}

/** An engine that cannot even say how it is, is not well. */
export async function healthOf(entry: EngineEntry): Promise<EngineHealth> {
  try {
    return await entry.health();
  } catch (error) {
    return { status: 'unhealthy', message: error instanceof Error ? error.message : String(error) };
  }
}

/** For resources that name none: the first that is well, in the order in which they are set up; else the first. */
export async function choiceOf(entries: EngineEntries): Promise<Choice> {
  const engines = Object.keys(entries);
  const [first = 'any'] = engines;
  if (engines.length < 2) return { engines, preferred: first };
  for (const [name, entry] of Object.entries(entries))
    if ((await healthOf(entry)).status === 'healthy') return { engines, preferred: name };
  return { engines, preferred: first };
}
