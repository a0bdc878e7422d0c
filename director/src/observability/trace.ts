/** Which trace a command belongs to: that of whoever sent it, or one of its own. Nothing is exported; the log tells it. */
import { randomBytes } from 'node:crypto';
import { readTraceparent, traceparentOf } from '@service-director/shared/contract/trace-context.ts';
import type { Intake } from '../commands/intake.ts';
import type { Log } from './log.ts';

/** What came, where it is good; else a new one. */
export function traceparentFor(came: string | undefined): string {
  const made = {
    traceId: randomBytes(16).toString('hex'),
    spanId: randomBytes(8).toString('hex'),
    sampled: true,
  };
  return traceparentOf(readTraceparent(came) ?? made);
}

/** Makes sure that whatever is taken belongs to a trace, and writes down what became of it. */
export function tracedIntake(inner: Intake, log: Log): Intake {
  return {
    async receive({ envelope, ...incoming }) {
      const traceparent = traceparentFor(envelope.traceparent);
      const receipt = await inner.receive({ ...incoming, envelope: { ...envelope, traceparent } });
      // What came before belongs to the trace of whoever sent it first.
      const about = receipt.result === 'rejected' ? { id: receipt.id, traceparent } : receipt.record;
      log.info(`command ${receipt.result}`, {
        command: about.id,
        requester: incoming.requester,
        traceparent: about.traceparent,
      });
      return receipt;
    },
  };
}
