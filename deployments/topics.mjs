/**
 * `node topics.mjs ORIGIN PROJECT [PREFIX]` makes, on the local cloud at that origin, the topics that a director hears and
 * speaks on, with their subscriptions, as `conductor up` would: a director that is started by itself finds none. Said
 * again, it changes nothing.
 */
import { COMMAND_TOPICS, directorTopics } from '../shared/src/model/hydrate.ts';

const [origin, project, prefix] = process.argv.slice(2);
const { commands, events, deadLetters } = directorTopics(prefix);
const heard = COMMAND_TOPICS.map((type) => commands[type]);

for (const name of [...heard, events, deadLetters]) await put(`topics/${name}`, {});
for (const name of [...heard, deadLetters])
  await put(`subscriptions/${name}-sub`, {
    topic: `projects/${project}/topics/${name}`,
    ackDeadlineSeconds: 60,
    messageRetentionDuration: '604800s',
    expirationPolicy: {},
  });

/** 409: it is there since the last time. */
async function put(path, body) {
  const made = await fetch(`${origin}/v1/projects/${project}/${path}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!made.ok && made.status !== 409)
    throw new Error(`${path} could not be made: ${made.status} ${await made.text()}`);
}
