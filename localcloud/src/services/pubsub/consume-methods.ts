/** The part of `google.pubsub.v1.Subscriber` that moves messages, but for the stream. */
import type { LocalCloud } from '../../cloud.ts';
import type { JsonObject } from '../../json.ts';
import type { Access, Call, Method } from '../../service.ts';
import type { Broker, Subscription } from './broker.ts';
import { acknowledge, modifyAckDeadline, pull, type ReceivedMessage } from './consume.ts';
import { writeBody } from './message.ts';
import { readName } from './names.ts';

interface PullRequest {
  readonly subscription?: string;
  readonly maxMessages?: number;
  readonly returnImmediately?: boolean;
}

interface AcknowledgeRequest {
  readonly subscription?: string;
  readonly ackIds?: readonly string[];
}

interface ModifyAckDeadlineRequest extends AcknowledgeRequest {
  readonly ackDeadlineSeconds?: number;
}

export function consumeMethods(cloud: LocalCloud, broker: Broker): Record<string, Method> {
  const nameOf = (name: JsonObject[string]): string =>
    readName(cloud.projects, 'subscriptions', name, 'subscription');
  const find = (name: string | undefined): Subscription => broker.subscription(nameOf(name));
  const access = ({ subscription }: JsonObject): Access => ({
    permission: 'pubsub.subscriptions.consume',
    resource: nameOf(subscription),
  });

  async function take(request: PullRequest, { signal }: Call): Promise<ReceivedMessage[]> {
    const { maxMessages = 0, returnImmediately = false } = request;
    return pull(cloud, find(request.subscription), maxMessages, returnImmediately, signal);
  }

  function ack({ subscription, ackIds = [] }: AcknowledgeRequest): object {
    acknowledge(find(subscription), ackIds);
    return {};
  }

  function modify({ subscription, ackIds = [], ackDeadlineSeconds = 0 }: ModifyAckDeadlineRequest): object {
    modifyAckDeadline(find(subscription), ackIds, ackDeadlineSeconds);
    return {};
  }

  return {
    Pull: {
      access,
      async handle({ subscription, maxMessages, returnImmediately }, call) {
        const request = {
          subscription: String(subscription),
          maxMessages: Number(maxMessages ?? 0),
          returnImmediately: returnImmediately === true,
        };
        const messages = await take(request, call);
        return {
          receivedMessages: messages.map((received) => ({
            ...received,
            message: writeBody(received.message),
          })),
        };
      },
      grpc: async (request: PullRequest, call) => ({ receivedMessages: await take(request, call) }),
    },
    Acknowledge: {
      access,
      handle({ subscription, ackIds }) {
        ack({ subscription: String(subscription), ackIds: strings(ackIds) });
        return {};
      },
      grpc: ack,
    },
    ModifyAckDeadline: {
      access,
      handle({ subscription, ackIds, ackDeadlineSeconds }) {
        modify({
          subscription: String(subscription),
          ackIds: strings(ackIds),
          ackDeadlineSeconds: Number(ackDeadlineSeconds ?? 0),
        });
        return {};
      },
      grpc: modify,
    },
  };
}

function strings(json: JsonObject[string]): string[] {
  return Array.isArray(json) ? json.map(String) : [];
}
