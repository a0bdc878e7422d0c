/**
 * Approvals by links over HTTP: the only routes, beside health, that are reached without a token. What is no good link
 * gets one answer, whatever is wrong with it; looking at one decides nothing, for chats look at what is written in them.
 */
import { WEBHOOK_ROUTES } from '@service-director/shared/contract/rest/webhooks.ts';
import { type ApprovalLink, ApprovalWord } from '@service-director/shared/contract/webhook.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { sha256 } from '@service-director/shared/kit/hash.ts';
import { type Request, type RequestHandler, type Response, Router, text } from 'express';
import type { Intake } from '../commands/intake.ts';
import { limitRate } from '../http/limits.ts';
import { errorsOf, expressPath, invalid, read } from '../http/native/serve.ts';
import { Problem } from '../http/problem.ts';
import type { ApprovalLinks, Found } from './approval-links.ts';
import { APPROVAL_POLICY, approvalPage } from './approval-page.ts';
import { masked } from './mask.ts';

export interface ApprovalRoutesOptions {
  readonly links: Pick<ApprovalLinks, 'find' | 'isSigned'>;
  readonly intake: Intake;
  readonly clock: Clock;
  /** Whether what stands before us says last in X-Forwarded-For who called it. */
  readonly behindCloudRun: boolean;
  /** Of what was not signed here, by the addresses of one bucket; default 60. */
  readonly perMinute?: number;
  /** Of one link that was signed here, whoever uses it; default 300. */
  readonly perMinuteOfLink?: number;
}

const PER_MINUTE = 60;
const PER_MINUTE_OF_LINK = 300;
/** Buckets of addresses that are counted apart: so many counts are kept, whoever calls. */
const BUCKETS = 512;

const LOOK = WEBHOOK_ROUTES.getApprovalLink;
const DECIDE = WEBHOOK_ROUTES.decideByLink;

export function approvalRoutes(options: ApprovalRoutesOptions): Router {
  const { links, intake, clock } = options;
  const router = Router();

  async function demandLink(link: unknown): Promise<Found> {
    const found = typeof link === 'string' ? await links.find(link) : undefined;
    if (!found) throw new Problem(404, 'Not found', 'There is no such link, or it is void');
    return found;
  }

  router.use(expressPath(LOOK), limitLinks(options));

  router.get(expressPath(LOOK), async (request, response) => {
    tell(await demandLink(request.params.link), 200, request, response);
  });

  router.post(expressPath(DECIDE), text({ type: () => true, limit: '4kb' }), async (request, response) => {
    const { link } = request.params;
    const found = await demandLink(link);
    const word = wordIn(request);
    if (found.standing.state !== 'open') {
      tell(found, 409, request, response);
      return;
    }
    const isTaken = await decide(String(link), found, word);
    const after = await demandLink(link);
    tell(after, isTaken ? 200 : 409, request, response);
  });

  /** Whether it is done. The same link is the same command: of two that use it at once one decides. */
  async function decide(link: string, { terms }: Found, word: ApprovalWord): Promise<boolean> {
    const { deployment, decision, planHash: plan_hash, webhook } = terms;
    const id = `link:${sha256(link).slice(0, 32)}`;
    const receipt = await intake.receive({
      fallbackId: id,
      receivedAt: timestamp(clock.now()),
      type: 'approve',
      requester: `webhook:${webhook}`,
      envelope: { id },
      body: JSON.stringify({ deployment, decision, plan_hash, ...reasonIn(word) }),
    });
    return receipt.result === 'accepted' && receipt.record.status === 'succeeded';
  }

  return router;
}

/**
 * Who guesses is counted by address, and who has a link by that. So nobody without one keeps off those who have one, though
 * they may seem to call from one address: of a front end, or of a proxy.
 */
function limitLinks({
  links,
  clock,
  behindCloudRun,
  perMinute = PER_MINUTE,
  perMinuteOfLink = PER_MINUTE_OF_LINK,
}: ApprovalRoutesOptions): RequestHandler {
  const limitGuesses = limitRate({
    ...{ clock, perMinute },
    callerOf: (request) => nameOf(bucketOf(addressOf(request, behindCloudRun))),
  });
  const limitUses = limitRate({
    ...{ clock, perMinute: perMinuteOfLink },
    callerOf: (request) => `Whoever uses that link (${sha256(linkIn(request)).slice(0, 8)})`,
  });
  return async (request, response, next) => {
    const limit = (await links.isSigned(linkIn(request))) ? limitUses : limitGuesses;
    return limit(request, response, next);
  };
}

/** Empty where there is none. */
function linkIn({ params: { link } }: Request): string {
  return typeof link === 'string' ? link : '';
}

/** A page, or JSON for whoever asks for that. */
function tell(found: Found, status: 200 | 409, request: Request, response: Response): void {
  const body: ApprovalLink = found.standing;
  response.status(status).vary('accept');
  if (request.accepts(['html', 'json']) === 'json') response.json(body);
  else response.set('content-security-policy', APPROVAL_POLICY).type('text/html').send(approvalPage(found));
}

/** From the form of the page, or JSON. Throws a Problem 400 or 415. */
function wordIn(request: Request): ApprovalWord {
  if (!request.is('urlencoded')) return read(DECIDE, request).body;
  const fields = [...new URLSearchParams(String(request.body))].filter(([, value]) => value.trim() !== '');
  const word = ApprovalWord.safeParse(Object.fromEntries(fields));
  if (!word.success) throw invalid(errorsOf(word.error, 'body'));
  return word.data;
}

/** Who they are nobody knows: their name is what they said, and is kept as that. */
function reasonIn({ name, reason }: ApprovalWord): { readonly reason?: string } {
  const said = [
    ...(name === undefined ? [] : [`by a link, saying to be "${masked(name, 100)}"`]),
    ...(reason === undefined ? [] : [masked(reason, 500)]),
  ].filter((part) => part.trim() !== '');
  return said.length === 0 ? {} : { reason: said.join(': ') };
}

/** What is before the last in X-Forwarded-For anybody can have written. */
function addressOf(request: Request, behindCloudRun: boolean): string {
  const forwarded = behindCloudRun ? request.get('x-forwarded-for')?.split(',').at(-1)?.trim() : undefined;
  return forwarded || (request.socket.remoteAddress ?? '');
}

/** Of addresses that have nothing in common but a hash: one is always in the same. */
function bucketOf(address: string): number {
  return Number.parseInt(sha256(address).slice(0, 8), 16) % BUCKETS;
}

function nameOf(bucket: number): string {
  return `Whoever calls from those addresses (${bucket})`;
}
