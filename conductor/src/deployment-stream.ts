/** The journal of a deployment as its director tells it, line by line, over one connection. */
import { jsonIn } from '@service-director/shared/contract/client-answers.ts';
import { DeploymentReport } from '@service-director/shared/contract/event.ts';
import { LogLine } from '@service-director/shared/contract/rest/schemas.ts';
import type { ServerSentEvent } from '@service-director/shared/kit/server-sent-events.ts';
import { connectionOf, headersBehind } from '@service-director/shared/kit/server-sent-events-connection.ts';
import type { CallContext, RunContext } from './context.ts';
import { refusal, unanswered } from './director-http.ts';

/** A line, and the id of its event, where it has one: what is heard behind it comes after. */
export type Hear = (line: LogLine, eventId: string | undefined) => void;

/**
 * Behind the event of that id, from the beginning without one. Resolves with the report where the deployment has ended,
 * and with undefined where the connection broke off before. Rejects with Unanswered or Refused where there was none, and
 * with Unanswered where it tells what cannot be read.
 */
export async function hearDeployment(
  url: string,
  id: string,
  after: string | undefined,
  hear: Hear,
  { reach, signal, clock }: CallContext & Pick<RunContext, 'clock'>,
): Promise<DeploymentReport | undefined> {
  const path = `/v1/deployments/${encodeURIComponent(id)}/logs`;
  const connection = connectionOf({ clock, signal });
  async function connect(): Promise<Response> {
    const headers = { ...headersBehind(after), ...(await reach.authorization(url)) };
    return fetch(url + path, { headers, signal: connection.signal });
  }
  try {
    const response = await connect().catch((error: unknown) => {
      throw signal.aborted ? signal.reason : unanswered(url, error);
    });
    const events = connection.eventsIn(response);
    if (!events) throw refusal(url, path, response.status, await response.text());
    return await readTo(events);
  } finally {
    connection.end();
  }

  async function readTo(events: AsyncGenerator<ServerSentEvent>): Promise<DeploymentReport | undefined> {
    for (;;) {
      const next = await events.next().catch(() => {
        if (signal.aborted) throw signal.reason;
        return undefined;
      });
      if (!next || next.done) return undefined;
      const { name, data, id: eventId } = next.value;
      const told = jsonIn(data);
      const report = name === 'end' ? DeploymentReport.safeParse(told) : undefined;
      if (report?.success) return report.data;
      // It may come whole the next time; where it never does, that has an end.
      if (report || told === undefined) throw unanswered(url, new Error('what it tells cannot be read'));
      const line = LogLine.safeParse(told);
      if (line.success) hear(line.data, eventId);
    }
  }
}
