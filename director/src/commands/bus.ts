/** Publishes through Google's client: at once, in one call what is said in one turn, those of one key in order. */
import type { PubSub, Topic } from '@google-cloud/pubsub';
import type { Bus } from '../deployments/outbox.ts';

export function pubsubBus(pubsub: PubSub): Bus {
  const topics = new Map<string, Topic>();

  function topicOf(name: string): Topic {
    const topic =
      topics.get(name) ??
      pubsub.topic(name, { batching: { maxMessages: 100, maxMilliseconds: 0 }, messageOrdering: true });
    topics.set(name, topic);
    return topic;
  }

  return {
    async publish(name, { body, attributes, orderingKey }) {
      const topic = topicOf(name);
      try {
        await topic.publishMessage({
          data: Buffer.from(body),
          attributes: { ...attributes },
          ...(orderingKey === undefined ? {} : { orderingKey }),
        });
      } catch (error) {
        // The client holds a key back after a failure until it is told to go on.
        if (orderingKey !== undefined) topic.resumePublishing(orderingKey);
        throw error;
      }
    },
  };
}
