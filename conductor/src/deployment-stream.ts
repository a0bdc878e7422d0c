/** The journal of a deployment as its director tells it, line by line, over one connection. */
import { DeploymentReport } from '@service-director/shared/contract/event.ts';
import { LogLine } from '@service-director/shared/contract/rest/schemas.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import type { CallContext } from './context.ts';
import { refusal, unanswered } from './director-http.ts';
import { eventsIn } from './event-stream.ts';

/** A line, and the id of its event: what is heard behind it comes after. */
export type Hear = (line: LogLine, eventId: string) => void;

/** A director gives a sign of life four times as often. Milliseconds. */
const SILENT_MS = 60_000;

/**
 * Behind the event of that id, from the beginning without one. Resolves with the report where the deployment has ended,
 * and with undefined where the connection broke off before. Rejects with Unanswered or Refused where there was none.
 */
export async function hearDeployment(
  url: string,
  id: string,
  after: string | undefined,
  hear: Hear,
  { reach, signal }: CallContext,
): Promise<DeploymentReport | undefined> {
  const silence = new AbortController();
  let forget = (): void => {};
  const waitAnew = (): void => {
    forget();
    forget = systemClock.after(SILENT_MS, () => silence.abort(new Error('it is silent')));
  };
  const path = `/v1/deployments/${encodeURIComponent(id)}/logs`;
  async function connect(): Promise<Response> {
    waitAnew();
    const headers = {
      accept: 'text/event-stream',
      ...(after === undefined ? {} : { 'last-event-id': after }),
      ...(await reach.authorization(url)),
    };
    return fetch(url + path, { headers, signal: AbortSignal.any([signal, silence.signal]) });
  }
  async function* signsOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      waitAnew();
      yield chunk;
    }
  }
  try {
    const response = await connect().catch((error: unknown) => {
      throw signal.aborted ? signal.reason : unanswered(url, error);
    });
    const isStream = /^text\/event-stream/.test(response.headers.get('content-type') ?? '');
    if (!response.ok || !isStream || !response.body)
      throw refusal(url, path, response.status, await response.text());
    return await readTo(signsOf(response.body), hear);
  } finally {
    forget();
    // Whatever is left of it is not waited for.
    silence.abort();
  }

  async function readTo(
    chunks: AsyncIterable<Uint8Array>,
    tell: Hear,
  ): Promise<DeploymentReport | undefined> {
    const events = eventsIn(chunks);
    for (;;) {
      const next = await events.next().catch(() => {
        if (signal.aborted) throw signal.reason;
        return undefined;
      });
      if (!next || next.done) return undefined;
      const { name, data, id: eventId } = next.value;
      if (name === 'end') return DeploymentReport.parse(JSON.parse(data));
      const line = LogLine.safeParse(JSON.parse(data));
      if (line.success) tell(line.data, eventId);
    }
  }
}
