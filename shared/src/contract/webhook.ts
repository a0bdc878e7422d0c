/** What a director tells of status changes to whoever asked to be called, and how one asks. */
import { z } from 'zod';

/** What there is to hear. `webhook.test` comes only when it is asked for, and to every webhook. */
export const WEBHOOK_EVENTS = [
  'deployment.queued',
  'deployment.planning',
  'deployment.waiting_for_lock',
  'deployment.awaiting_approval',
  'deployment.applying',
  'deployment.cancelling',
  'deployment.succeeded',
  'deployment.failed',
  'deployment.cancelled',
] as const;
export type WebhookEvent = (typeof WEBHOOK_EVENTS)[number];

/** Whether a text is as a pattern says, in which `*` stands for any text. Takes time in proportion to both. */
export function fits(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return pattern === text;
  if (!text.startsWith(first)) return false;
  let from = first.length;
  for (const part of rest) {
    const at = text.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return text.length - last.length >= from && text.endsWith(last);
}

const EventPattern = z
  .string()
  .max(100)
  .refine((pattern) => WEBHOOK_EVENTS.some((event) => fits(pattern, event)), {
    error: ({ input }) => `no event is called ${String(input)}; known are: ${WEBHOOK_EVENTS.join(', ')}`,
  });

const Pattern = z.string().min(1).max(300);
const patterns = <Each extends z.ZodType<string>>(each: Each) => z.array(each).min(1).max(20);

/** What a new webhook is made from. */
export const WebhookRequest = z.strictObject({
  /** https. Without a name and password in it: its path is as good a place for a token of the receiver's. */
  url: z.url().max(2_000),
  /** `*` stands for any text. */
  events: patterns(EventPattern).default(['*']),
  scopes: patterns(Pattern).default(['*']),
  /** `<scope>/<dataflow>`. */
  stacks: patterns(Pattern).default(['*']),
  /** Whether it is told of deployments that only plan. */
  dry_runs: z.boolean().default(false),
  /** Whether what waits for an approval is told with links that decide it, for whoever has them. */
  approvals: z.boolean().default(false),
  /** What the links begin with, where that is not the director's own URL: that of a proxy before it. */
  approvals_at: z
    .url({ protocol: /^https?$/ })
    .max(500)
    .optional(),
  description: z.string().max(500).optional(),
});
export type WebhookRequest = z.output<typeof WebhookRequest>;

export const WebhookChange = z.strictObject({ active: z.boolean() });

export const WebhookRotation = z.strictObject({
  /** How long the old secret signs beside the new one. */
  keep_seconds: z.number().int().min(0).max(604_800).default(86_400),
});

/** RFC 3339 in UTC, as all times here. */
const Time = z.string();

export const WebhookView = z.object({
  id: z.string(),
  url: z.string(),
  events: z.array(z.string()),
  scopes: z.array(z.string()),
  stacks: z.array(z.string()),
  dry_runs: z.boolean(),
  approvals: z.boolean(),
  /** What its links begin with. */
  approvals_at: z.string().optional(),
  /** Where it does not do all that was asked for: why. */
  note: z.string().optional(),
  description: z.string().optional(),
  active: z.boolean(),
  disabled: z.object({ at: Time, because: z.string() }).optional(),
  created_at: Time,
  created_by: z.string(),
  /** When the newest secret was made, and until when older ones sign beside it. */
  secrets: z.array(z.object({ created_at: Time, until: Time.optional() })),
});
export type WebhookView = z.output<typeof WebhookView>;

/** Where the secret is shown, the one time: of a new webhook, and of one that was given another. */
export const WebhookWithSecret = WebhookView.extend({
  /** `whsec_` and, in base64, the key that signs. */
  secret: z.string(),
});
export type WebhookWithSecret = z.output<typeof WebhookWithSecret>;

export const WebhookList = z.object({ webhooks: z.array(WebhookView) });
export type WebhookList = z.output<typeof WebhookList>;

export const DeliveryView = z.object({
  /** `<webhook>.<deployment>.<status>`. */
  id: z.string(),
  /** As the receiver sees it in `webhook-id`, at each try the same. */
  message: z.string(),
  type: z.string(),
  deployment: z.string().optional(),
  stack: z.string().optional(),
  created_at: Time,
  state: z.enum(['pending', 'delivered', 'failed', 'dropped']),
  attempts: z.number(),
  next_at: Time.optional(),
  tries: z.array(
    z.object({
      at: Time,
      milliseconds: z.number().optional(),
      status: z.number().optional(),
      error: z.string().optional(),
      answer: z.string().optional(),
    }),
  ),
});
export type DeliveryView = z.output<typeof DeliveryView>;

export const DeliveryQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(1_000).optional(),
});

/** Newest first. */
export const DeliveryPage = z.object({
  deliveries: z.array(DeliveryView),
  /** Given back as `cursor`, the next page; absent on the last. */
  next: z.string().optional(),
});
export type DeliveryPage = z.output<typeof DeliveryPage>;

/** The body of what is sent. */
export const WebhookMessage = z.discriminatedUnion('type', [
  z.object({ type: z.literal('webhook.test'), timestamp: Time, data: z.object({ webhook: z.string() }) }),
  z.object({
    type: z.enum(WEBHOOK_EVENTS),
    /** When it happened, not when it is sent. */
    timestamp: Time,
    data: z.object({
      deployment: z.string(),
      command: z.string(),
      stack: z.string(),
      scope: z.string(),
      dataflow: z.string(),
      status: z.string(),
      operation: z.string(),
      dry_run: z.boolean(),
      /** Of the stack's state, after it. */
      version: z.number().optional(),
      plan_hash: z.string().optional(),
      /** Of an approval that is waited for: until when. */
      expires_at: Time.optional(),
      /** Links, for webhooks with `approvals`: each decides once, after a page was read and its button pressed. */
      approve_url: z.string().optional(),
      reject_url: z.string().optional(),
      error: z.string().optional(),
      fix: z.string().optional(),
    }),
  }),
]);
export type WebhookMessage = z.output<typeof WebhookMessage>;

/** What whoever uses a link may say with it: nobody knows whether it is true. */
export const ApprovalWord = z.strictObject({
  name: z.string().trim().min(1).max(100).optional(),
  reason: z.string().trim().min(1).max(500).optional(),
});
export type ApprovalWord = z.output<typeof ApprovalWord>;

/** What a link would decide, and how that stands. */
export const ApprovalLink = z.object({
  deployment: z.string(),
  stack: z.string(),
  decision: z.enum(['approve', 'reject']),
  plan_hash: z.string(),
  expires_at: Time,
  /** `open`: it can be decided. `void`: its plan is another by now. `refused`: that takes somebody who is known. */
  state: z.enum(['open', 'approved', 'rejected', 'expired', 'cancelled', 'void', 'refused']),
  /** The same in a sentence. */
  note: z.string(),
});
export type ApprovalLink = z.output<typeof ApprovalLink>;
