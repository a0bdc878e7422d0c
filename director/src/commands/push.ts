/** Takes commands that Pub/Sub pushes: the wrapped form, from the one account that may. */

import { fromAttributes } from '@service-director/shared/contract/cloud-event.ts';
import type { CommandType } from '@service-director/shared/contract/command.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { json, type RequestHandler, Router } from 'express';
import { z } from 'zod';
import { tokenOf, tokenVerifier } from '../http/authenticate.ts';
import { Problem } from '../http/problem.ts';
import type { Intake } from './intake.ts';

/** https://cloud.google.com/pubsub/docs/push#properties_of_a_push_subscription */
const Pushed = z.object({
  message: z.object({
    data: z.string().default(''),
    attributes: z.record(z.string(), z.string()).default({}),
    messageId: z.string(),
  }),
  subscription: z.string(),
});

export interface PushOptions {
  readonly intake: Intake;
  readonly clock: Clock;
  /** By subscription, short name; undefined for that of the older form. */
  readonly subscriptions: ReadonlyMap<string, CommandType | undefined>;
  /** Address of the account that pushes come from. */
  readonly account: string;
  readonly audience: string | undefined;
  readonly endpoint: string | undefined;
  readonly behindCloudRun: boolean;
}

export function pushRoutes({
  intake,
  clock,
  subscriptions,
  account,
  audience,
  ...checks
}: PushOptions): Router {
  const router = Router();
  const verify = tokenVerifier(checks);

  const fromPubsub: RequestHandler = async (request, _response, next) => {
    const token = tokenOf(request);
    if (token === undefined) throw new Problem(401, 'Unauthenticated', 'A push carries an identity token.');
    const { email } = await verify(token, audience ?? `https://${request.get('host')}`);
    if (email !== account)
      throw new Problem(403, 'Forbidden', `Pushes come from ${account}, not from ${email}.`);
    next();
  };

  router.post('/push', fromPubsub, json({ limit: '14mb' }), async (request, response) => {
    const pushed = Pushed.safeParse(request.body);
    if (!pushed.success) throw new Problem(400, 'No push', z.prettifyError(pushed.error));
    const { message, subscription } = pushed.data;
    const name = subscription.split('/').at(-1) ?? '';
    if (!subscriptions.has(name))
      throw new Problem(404, 'Unknown subscription', `${subscription} is none of this director's.`);
    // Any answer but 2xx makes it come again: only a store that fails is worth that.
    await intake.receive({
      fallbackId: `pubsub-${message.messageId}`,
      receivedAt: timestamp(clock.now()),
      type: subscriptions.get(name),
      requester: message.attributes['ce-source'] ?? `pubsub:${name}`,
      envelope: fromAttributes(message.attributes),
      body: Buffer.from(message.data, 'base64').toString('utf8'),
    });
    response.status(204).end();
  });

  return router;
}
