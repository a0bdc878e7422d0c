/** Faults on purpose: rules that make chosen calls fail, hang or answer late, repeatable by seed. */
import type { Clock, Random } from '@service-director/shared/kit/clock.ts';
import { type Code, GoogleError, invalid, isCode } from './error.ts';
import { isObject } from './json.ts';

export interface FaultRule {
  /** `pubsub`, `run`, …; any by default. */
  readonly api?: string;
  /** `CreateTopic`, `buckets.insert`; a `*` stands for anything. Any by default. */
  readonly method?: string;
  /** Of the full resource name; a `*` stands for anything. Any by default. */
  readonly resource?: string;
  /** How likely a matching call is hit, 0 to 1. Default 1. */
  readonly probability?: number;
  /** How many calls are hit before the rule is spent. Default: no end. */
  readonly count?: number;
  /** The error that the caller gets. Without it a rule only delays. */
  readonly error?: Code;
  readonly message?: string;
  /** Seconds, sent as `Retry-After` and as `google.rpc.RetryInfo`. */
  readonly retryAfter?: number;
  /** Milliseconds to wait first. */
  readonly delay?: number;
  /** `before`: the call has no effect. `after`: it has, and only its answer is lost. Default `before`. */
  readonly effect?: 'before' | 'after';
}

export interface CallName {
  readonly api: string;
  readonly method: string;
  readonly resource: string;
}

export interface Faults {
  /** All rules, with how often each has hit. */
  rules(): (FaultRule & { readonly hits: number })[];
  /** Puts these rules in the place of those before. */
  replace(rules: readonly FaultRule[]): void;
  /** The rules that hit this call; to be applied before and after its effect. */
  draw(name: CallName): Drawn;
}

export interface Drawn {
  before(signal: AbortSignal): Promise<void>;
  after(signal: AbortSignal): Promise<void>;
}

const NOTHING: Drawn = { before: async () => {}, after: async () => {} };

export function openFaults(clock: Clock, random: Random): Faults {
  let rules: { rule: FaultRule; hits: number }[] = [];

  async function apply(rule: FaultRule, signal: AbortSignal): Promise<void> {
    if (rule.delay) await clock.sleep(rule.delay, signal);
    if (!rule.error) return;
    const retry = { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${rule.retryAfter}s` };
    throw new GoogleError(
      rule.error,
      rule.message ?? `Fault on purpose: ${rule.error}`,
      rule.retryAfter === undefined ? [] : [retry],
    );
  }

  return {
    rules: () => rules.map(({ rule, hits }) => ({ ...rule, hits })),
    replace: (next) => {
      rules = next.map((rule) => ({ rule, hits: 0 }));
    },
    draw(name) {
      const hit = rules.filter((entry) => {
        const { rule, hits } = entry;
        const matches =
          (rule.api === undefined || rule.api === name.api) &&
          like(rule.method, name.method) &&
          like(rule.resource, name.resource) &&
          hits < (rule.count ?? Number.POSITIVE_INFINITY) &&
          (rule.probability === undefined || random() < rule.probability);
        if (matches) entry.hits++;
        return matches;
      });
      if (hit.length === 0) return NOTHING;
      const at = (effect: 'before' | 'after') => async (signal: AbortSignal) => {
        for (const { rule } of hit) if ((rule.effect ?? 'before') === effect) await apply(rule, signal);
      };
      return { before: at('before'), after: at('after') };
    },
  };
}

/** Checks rules that came from outside: a file or the admin endpoint. */
export function readFaultRules(json: unknown): FaultRule[] {
  const list = isObject(json) ? json.rules : json;
  if (!Array.isArray(list)) throw invalid('Fault rules are a list, or an object with a list `rules`.');
  return list.map((rule, index) => {
    const where = `rules[${index}]`;
    if (!isObject(rule)) throw invalid(`${where} is not an object.`);
    for (const [name, value] of Object.entries(rule)) {
      const type = RULE_FIELDS[name];
      if (type === undefined) {
        throw invalid(
          `${where}: unknown field "${name}". A rule has: ${Object.keys(RULE_FIELDS).join(', ')}.`,
        );
      }
      if (typeof value !== type) throw invalid(`${where}.${name} must be a ${type}.`);
    }
    if (rule.error !== undefined && !isCode(String(rule.error)))
      throw invalid(`${where}.error: ${String(rule.error)} is no code of Google's.`);
    if (rule.effect !== undefined && rule.effect !== 'before' && rule.effect !== 'after') {
      throw invalid(`${where}.effect is "before" or "after".`);
    }
    return rule as FaultRule;
  });
}

const RULE_FIELDS: Readonly<Record<string, 'string' | 'number'>> = {
  api: 'string',
  method: 'string',
  resource: 'string',
  probability: 'number',
  count: 'number',
  error: 'string',
  message: 'string',
  retryAfter: 'number',
  delay: 'number',
  effect: 'string',
};

function like(pattern: string | undefined, text: string): boolean {
  if (pattern === undefined) return true;
  const source = pattern
    .split('*')
    .map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'))
    .join('.*');
  return new RegExp(`^${source}$`).test(text);
}
