/** Answers in the form of the system before this one. */
import type { TerminalEvent } from './event.ts';

export interface LegacyAnswer {
  readonly status: 'setup_complete' | 'dataflow_complete' | 'failure';
  /** The only thing that joins it to what was asked. */
  readonly value: string;
  readonly error_message?: string;
  /** By resource: who has which roles on it now. */
  readonly applied_iam?: Readonly<Record<string, AppliedIam>>;
}

export interface AppliedIam {
  readonly ResourceType: string;
  readonly ResourceID: string;
  readonly ResourceLocation: string;
  /** Roles by member. */
  readonly MemberRoles: Readonly<Record<string, readonly string[]>>;
}

export function legacyAnswer(
  value: string,
  event: TerminalEvent,
  appliedIam: LegacyAnswer['applied_iam'],
): LegacyAnswer {
  if (event.type === 'completed')
    return { status: 'dataflow_complete', value, ...(appliedIam ? { applied_iam: appliedIam } : {}) };
  return { status: 'failure', value, error_message: event.error };
}

/** Said once a director is ready, as the older conductors expect. */
export function legacyReady(name: string): LegacyAnswer {
  return { status: 'setup_complete', value: name };
}
