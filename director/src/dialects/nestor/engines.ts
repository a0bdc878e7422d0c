/** The engines that deployments of the dialect at `/api/v1` can name, and how they are. */
import type { Choice, Kept } from './choice.ts';

export interface EngineHealth {
  readonly status: 'healthy' | 'degraded' | 'unhealthy' | 'disabled';
  /** Of the tool. */
  readonly version?: string;
  /** What is missing, and what to do about it. */
  readonly message?: string;
}

export interface EngineEntry {
  /** Asked each time: it may look for the tool. */
  health(): Promise<EngineHealth>;
  readonly capabilities: readonly string[];
  /** False where the settings of the director turn it off; true by default. */
  readonly isEnabled?: boolean;
  /** How long a deployment with it may take that does not say so itself. */
  readonly timeoutSeconds?: number | undefined;
  /** Why nothing new may come to it for a while, and until when, in milliseconds since 1970. */
  pause?(): Promise<{ readonly because: string; readonly until: number } | undefined>;
}

export type EngineEntries = Readonly<Record<string, EngineEntry>>;

const TURNED_OFF = 'it is turned off on this director';

export async function engineView(name: string, entry: EngineEntry): Promise<object> {
  const { capabilities, isEnabled = true } = entry;
  return { name, enabled: isEnabled, capabilities, ...(await healthOf(entry)) };
}

/** An engine that cannot even say how it is, is not well. */
export async function healthOf(entry: EngineEntry): Promise<EngineHealth> {
  if (entry.isEnabled === false) return { status: 'disabled', message: TURNED_OFF };
  try {
    return await entry.health();
  } catch (error) {
    return { status: 'unhealthy', message: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * For resources that name none: of those that take anything new the first that is well, in the order in which they are
 * set up; else the first that works at all; else the first.
 */
export async function choiceOf(entries: EngineEntries): Promise<Choice> {
  const kept = new Map<string, Kept>();
  for (const [name, entry] of Object.entries(entries)) {
    const reason = await reasonAgainst(entry);
    if (reason) kept.set(name, reason);
  }
  const engines = Object.keys(entries).filter((name) => !kept.has(name));
  const limits = new Map(
    Object.entries(entries).flatMap(([name, { timeoutSeconds }]) =>
      timeoutSeconds === undefined ? [] : [[name, timeoutSeconds] as const],
    ),
  );
  return { engines, preferred: await preferredOf(entries, engines), kept, limits };
}

async function reasonAgainst({ isEnabled, pause }: EngineEntry): Promise<Kept | undefined> {
  if (isEnabled === false) return { because: TURNED_OFF };
  return pause?.();
}

async function preferredOf(entries: EngineEntries, engines: readonly string[]): Promise<string> {
  const [first = Object.keys(entries)[0] ?? 'any'] = engines;
  if (engines.length < 2) return first;
  let next: string | undefined;
  for (const name of engines) {
    const entry = entries[name];
    const status = entry && (await healthOf(entry)).status;
    if (status === 'healthy') return name;
    if (status === 'degraded') next ??= name;
  }
  return next ?? first;
}
