/**
 * Approvals by links: which links a message carries, and what a link that comes back is worth.
 *
 * A link is void once its webhook was removed, stopped or given another secret, and once its plan is another. Who uses
 * one nobody knows, so that it approves nothing where a rule says that nobody approves what they asked for themselves.
 */
import { type ApprovalLink, WebhookMessage } from '@service-director/shared/contract/webhook.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import type { AccessRule } from '@service-director/shared/model/architecture.ts';
import type { Scopes } from '../http/demand.ts';
import { type Place, permitted } from '../http/roles.ts';
import type { Artifacts } from '../store/artifacts.ts';
import { type DeploymentRecord, type DueRecord, keys, sentenceOf } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { type LinkTerms, readLink, signLink } from './link.ts';
import { linkKey } from './link-key.ts';
import { masked } from './mask.ts';
import type { Webhook } from './registry.ts';

export interface ApprovalLinksContext {
  readonly store: Store;
  readonly artifacts: Artifacts;
  readonly clock: Clock;
  readonly scopes: Pick<Scopes, 'placeOf'>;
  /** Who may do what: some of them say that approving is for somebody else. */
  readonly rules: readonly AccessRule[];
}

export interface ApprovalLinks {
  /** The body of a message as it goes to a webhook: with links where it asks for them. */
  letter(due: DueRecord, webhook: Webhook): Promise<string>;
  /** Whether it was signed here, whatever it is worth by now. Costs the store nothing. */
  isSigned(link: string): Promise<boolean>;
  /** Undefined for what was not signed here, and for what is void because of its webhook or for want of a deployment. */
  find(link: string): Promise<Found | undefined>;
}

export interface Found {
  readonly terms: LinkTerms;
  readonly record: DeploymentRecord;
  readonly standing: ApprovalLink;
}

/** Below the base of the links. */
const PATH = '/v1/approvals/';
const LONGEST_NOTE = 500;

export function approvalLinks({
  store,
  artifacts,
  clock,
  scopes,
  rules,
}: ApprovalLinksContext): ApprovalLinks {
  const ownKey = linkKey(store, artifacts);

  async function letter({ body }: DueRecord, { id, approvals }: Webhook): Promise<string> {
    if (approvals?.base === undefined) return body;
    const message = WebhookMessage.parse(JSON.parse(body));
    if (message.type !== 'deployment.awaiting_approval') return body;
    const { deployment, scope, plan_hash: planHash, expires_at } = message.data;
    if (planHash === undefined || expires_at === undefined) return body;
    const { base, round } = approvals;
    const common = { webhook: id, round, deployment, planHash, expiresAt: Date.parse(expires_at) };
    const key = await ownKey();
    const urlFor = (decision: LinkTerms['decision']): string =>
      base + PATH + signLink({ ...common, decision }, key);
    const approve = (await takesOtherEyes(scope)) ? {} : { approve_url: urlFor('approve') };
    const data = { ...message.data, ...approve, reject_url: urlFor('reject') };
    return JSON.stringify({ ...message, data });
  }

  async function find(link: string): Promise<Found | undefined> {
    const terms = readLink(link, await ownKey());
    if (!terms) return undefined;
    const [webhook, deployment] = await Promise.all([
      store.get<Webhook>(keys.webhook(terms.webhook)),
      store.get<DeploymentRecord>(keys.deployment(terms.deployment)),
    ]);
    if (!webhook?.value.active || webhook.value.approvals?.round !== terms.round || !deployment)
      return undefined;
    const record = deployment.value;
    const isRefused = terms.decision === 'approve' && (await takesOtherEyes(record.scope));
    return { terms, record, standing: standingOf(terms, record, clock.now(), isRefused) };
  }

  async function takesOtherEyes(scope: string): Promise<boolean> {
    if (rules.every(({ self_approval }) => self_approval)) return false;
    const place = await scopes.placeOf(scope);
    return rules.some((rule) => !rule.self_approval && approvesAt(rule, place));
  }

  return { letter, find, isSigned: async (link) => readLink(link, await ownKey()) !== undefined };
}

function approvesAt({ principal, role, environments }: AccessRule, place: Place): boolean {
  const grants = [{ role, environments, mayApproveOwn: false }];
  return permitted({ name: principal, grants }, 'approve', place);
}

/** `now`: milliseconds since 1970. `isRefused`: whether the link may not be used there. */
function standingOf(
  terms: LinkTerms,
  record: DeploymentRecord,
  now: number,
  isRefused: boolean,
): ApprovalLink {
  const { decision, planHash, expiresAt } = terms;
  return {
    deployment: record.id,
    stack: record.stack,
    decision,
    plan_hash: planHash,
    expires_at: timestamp(expiresAt),
    ...stateOf(terms, record, now, isRefused),
  };
}

type State = Pick<ApprovalLink, 'state' | 'note'>;

function stateOf(
  { planHash, expiresAt, decision }: LinkTerms,
  { id, status, approval, cancel }: DeploymentRecord,
  now: number,
  isRefused: boolean,
): State {
  if (approval && approval.planHash !== planHash) return ANOTHER_PLAN;
  if (approval && approval.state !== 'pending') {
    const { state, at } = approval;
    if (state === 'expired') return EXPIRED;
    return { state, note: `${masked(sentenceOf(approval, state), LONGEST_NOTE)} (${at})` };
  }
  if (!approval && cancel)
    return {
      state: 'cancelled',
      note: `${masked(sentenceOf(cancel, 'cancelled'), LONGEST_NOTE)} (${cancel.at})`,
    };
  if (approval?.expiresAt !== expiresAt || status !== 'awaiting_approval') return ANOTHER_PLAN;
  if (expiresAt <= now) return EXPIRED;
  if (isRefused)
    return {
      state: 'refused',
      note: 'Nobody approves there what they asked for themselves, and a link does not tell who uses it: approve it with a token of your own',
    };
  return { state: 'open', note: `${id} waits for somebody to ${decision} it` };
}

const EXPIRED: State = { state: 'expired', note: 'Nobody approved it in time: run it again' };
const ANOTHER_PLAN: State = {
  state: 'void',
  note: 'It does not wait for this any more: its plan is another one',
};
