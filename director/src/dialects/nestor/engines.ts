/** The engines that deployments of the dialect at `/api/v1` can name, and how they are. */

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
