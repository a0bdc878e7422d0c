/** Receivers that are slow, long-winded, talkative or lead elsewhere. */
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Transport } from './attempt.ts';
import { answers, type Bench, openBench } from './testing.ts';
import { publicTransport } from './transport.ts';

vi.setConfig({ testTimeout: 60_000 });

let bench: Bench;

beforeEach(() => {
  bench = openBench();
});
afterEach(() => bench.close());

test('who does not answer is left after a time, and who does not finish has answered', async () => {
  const silent = await bench.receiver(() => {});
  const unending = await bench.receiver((_request, response) => {
    response.writeHead(200).write('so far');
  });
  const [mute, slow] = [await bench.webhookAt(silent.url), await bench.webhookAt(unending.url)];
  const now = systemClock.now();
  const ids = [await bench.tell(mute.id, 'one', now), await bench.tell(slow.id, 'one', now)];
  const sender = bench.sender({ clock: systemClock, timeoutMs: 3_000 });
  sender.wake();
  await sender.settled();
  const [left, answered] = await Promise.all(ids.map(bench.deliveryOf));
  expect(left).toMatchObject({ state: 'pending', tries: [{ error: 'it did not answer within 3 s' }] });
  expect(answered).toMatchObject({ state: 'delivered', tries: [{ status: 200, answer: 'so far' }] });
});

test('a slow receiver keeps no other waiting', async () => {
  const silent = await bench.receiver(() => {});
  const quick = await bench.receiver();
  const [mute, other] = [await bench.webhookAt(silent.url), await bench.webhookAt(quick.url)];
  for (let number = 0; number < 30; number++) await bench.tell(mute.id, `d${number}`);
  await bench.tell(other.id);
  bench.sender().wake();
  await vi.waitFor(() => expect(quick.received).toHaveLength(1), { timeout: 20_000 });
  await vi.waitFor(() => expect(silent.received).toHaveLength(2), { timeout: 20_000 });
});

test('a redirect is not followed, wherever it leads', async () => {
  const metadata = await bench.receiver(answers(200, {}, 'token'));
  const asked: string[] = [];
  const network = publicTransport({ allowPrivate: true });
  const transport: Transport = (url, question) => {
    asked.push(url);
    return network(url, question);
  };
  const targets = ['http://169.254.169.254/computeMetadata/v1/', metadata.url];
  for (const location of targets) {
    const { url, received } = await bench.receiver(answers(307, { location }));
    const { id } = await bench.webhookAt(url);
    const delivery = await bench.tell(id);
    const sender = bench.sender({ transport });
    sender.wake();
    await sender.settled();
    expect(received).toHaveLength(1);
    expect(asked.splice(0)).toEqual([url]);
    expect(await bench.deliveryOf(delivery)).toMatchObject({
      state: 'pending',
      tries: [{ status: 307, error: 'it answered 307: redirects are not followed' }],
    });
    await sender.stop();
  }
  expect(metadata.received).toEqual([]);
});

test('an address that the transport refuses is never called, and the log says why', async () => {
  const { url, received } = await bench.receiver();
  const { id } = await bench.webhookAt(url);
  const delivery = await bench.tell(id);
  const sender = bench.sender({ transport: publicTransport({ allowPrivate: false }) });
  sender.wake();
  await sender.settled();
  expect(received).toEqual([]);
  expect(await bench.deliveryOf(delivery)).toMatchObject({
    state: 'pending',
    tries: [{ error: '127.0.0.1 is not on the public internet, and is not asked' }],
  });
});

test('of 50 MB of an answer the beginning is read, and the rest is not waited for', async () => {
  const MB = 1_048_576;
  let sent = 0;
  const { url } = await bench.receiver(async (_request, response) => {
    const part = Buffer.alloc(MB, 'x');
    response.on('error', () => {});
    while (sent < 50 * MB && !response.destroyed) {
      sent += MB;
      if (!response.write(part))
        await Promise.race(['drain', 'close'].map((name) => new Promise((go) => response.once(name, go))));
    }
    response.end();
  });
  const { id } = await bench.webhookAt(url);
  const delivery = await bench.tell(id);
  const sender = bench.sender();
  sender.wake();
  await sender.settled();
  expect(await bench.deliveryOf(delivery)).toMatchObject({
    state: 'delivered',
    tries: [{ status: 200, answer: `${'x'.repeat(200)}…` }],
  });
  expect(sent).toBeLessThan(30 * MB);
});

test('what a receiver says of secrets is not kept', async () => {
  const { url } = await bench.receiver((request, response) =>
    answers(401, {}, `bad ${request.headers['webhook-signature']} password=planted`)(request, response),
  );
  const { id, secret } = await bench.webhookAt(url);
  await bench.tell(id);
  const sender = bench.sender();
  sender.wake();
  await sender.settled();
  const kept = JSON.stringify([
    await bench.store.list({ collection: 'deliveries' }),
    await bench.store.list({ collection: 'webhooks' }),
  ]);
  expect(kept).toContain('it answered 401');
  expect(kept).toContain('bad *** password=***');
  expect(kept).not.toContain(secret.replace('whsec_', ''));
  expect(kept).not.toContain('planted');
});
