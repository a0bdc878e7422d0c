/**
 * A program: publishes whatever arrives on a subscription on a topic, with the same client as the director's, at once.
 * Arguments: the host and port of Pub/Sub, the project, the subscription, the topic. Says `ready` when it listens.
 */
import { type Message, PubSub } from '@google-cloud/pubsub';
import { noCredentials } from '@service-director/shared/cloud/google.ts';

const [apiEndpoint = '', projectId = '', from = '', to = ''] = process.argv.slice(2);
const pubsub = new PubSub({ projectId, apiEndpoint, authClient: await noCredentials() });
const topic = pubsub.topic(to, { batching: { maxMessages: 1 } });
const subscription = pubsub.subscription(from, {
  streamingOptions: { maxStreams: 1 },
  batching: { maxMessages: 1 },
});
subscription.on('message', (message: Message) => {
  message.ack();
  void topic.publishMessage({ data: message.data, attributes: { ...message.attributes } });
});
process.stdout.write('ready\n');
