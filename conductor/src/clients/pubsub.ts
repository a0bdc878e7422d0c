/** Google's client, in a file of its own: it is loaded when it is needed, and found by its name in a bundle too. */
export { PubSub } from '@google-cloud/pubsub';
