/**
 * CloudEvents 1.0 on Pub/Sub, binary mode: the envelope in attributes, the data as JSON.
 *
 * https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/google-cloud-pubsub-protocol-binding.md
 */

export interface CloudEvent {
  readonly id: string;
  readonly source: string;
  /** `service-director.command.deploy`, `service-director.event.completed`. */
  readonly type: string;
  /** RFC 3339. */
  readonly time: string;
  readonly subject?: string;
  readonly correlationId: string;
  readonly traceparent?: string;
}

export const COMMAND_PREFIX = 'service-director.command.';
export const EVENT_PREFIX = 'service-director.event.';

export function toAttributes(event: CloudEvent): Record<string, string> {
  return {
    'ce-specversion': '1.0',
    'ce-id': event.id,
    'ce-source': event.source,
    'ce-type': event.type,
    'ce-time': event.time,
    'ce-datacontenttype': 'application/json',
    correlationid: event.correlationId,
    ...(event.subject === undefined ? {} : { 'ce-subject': event.subject }),
    ...(event.traceparent === undefined ? {} : { traceparent: event.traceparent }),
  };
}

/** What of an envelope the attributes hold; a message typed by hand has none. */
export function fromAttributes(attributes: Readonly<Record<string, string>>): Partial<CloudEvent> {
  const at = (name: string): string | undefined => attributes[name] || undefined;
  const fields = {
    id: at('ce-id'),
    source: at('ce-source'),
    type: at('ce-type'),
    time: at('ce-time'),
    subject: at('ce-subject'),
    correlationId: at('correlationid'),
    // The distributed tracing extension; some senders write it as they write the rest of the envelope.
    traceparent: at('traceparent') ?? at('ce-traceparent'),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
