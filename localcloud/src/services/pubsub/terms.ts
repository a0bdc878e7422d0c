/** On which terms a subscription delivers: its settings, read once. */
import { isObject, type JsonObject } from '../../json.ts';
import { DAY_MS, readDuration } from './durations.ts';
import { compileFilter, type Filter } from './filter.ts';

export interface Terms {
  readonly ackDeadlineMs: number;
  readonly retentionMs: number;
  readonly retainAcked: boolean;
  readonly ordering: boolean;
  readonly exactlyOnce: boolean;
  readonly detached: boolean;
  readonly filter: Filter;
  /** How long it may be unused before it is deleted; undefined: for ever. */
  readonly ttlMs: number | undefined;
  readonly deadLetter: { readonly topic: string; readonly attempts: number } | undefined;
  readonly retry: { readonly shortestMs: number; readonly longestMs: number } | undefined;
  readonly push: PushTerms | undefined;
}

export interface PushTerms {
  readonly endpoint: string;
  readonly account: string | undefined;
  readonly audience: string;
  readonly wrapped: boolean;
  readonly writeMetadata: boolean;
}

/** Reads settings that are complete and checked. */
export function termsOf(settings: JsonObject): Terms {
  const { deadLetterPolicy: deadLetter, retryPolicy: retry, expirationPolicy } = settings;
  return {
    ackDeadlineMs: Number(settings.ackDeadlineSeconds) * 1000,
    retentionMs: readDuration(settings.messageRetentionDuration) ?? 7 * DAY_MS,
    retainAcked: settings.retainAckedMessages === true,
    ordering: settings.enableMessageOrdering === true,
    exactlyOnce: settings.enableExactlyOnceDelivery === true,
    detached: settings.detached === true,
    filter: compileFilter(String(settings.filter ?? '')),
    ttlMs: isObject(expirationPolicy) ? readDuration(expirationPolicy.ttl) : undefined,
    deadLetter: isObject(deadLetter)
      ? { topic: String(deadLetter.deadLetterTopic), attempts: Number(deadLetter.maxDeliveryAttempts) }
      : undefined,
    retry: isObject(retry)
      ? {
          shortestMs: readDuration(retry.minimumBackoff) ?? 0,
          longestMs: readDuration(retry.maximumBackoff) ?? 0,
        }
      : undefined,
    push: pushTermsOf(settings.pushConfig),
  };
}

function pushTermsOf(config: JsonObject[string]): PushTerms | undefined {
  if (!isObject(config) || typeof config.pushEndpoint !== 'string' || config.pushEndpoint === '') {
    return undefined;
  }
  const token = isObject(config.oidcToken) ? config.oidcToken : {};
  return {
    endpoint: config.pushEndpoint,
    account: typeof token.serviceAccountEmail === 'string' ? token.serviceAccountEmail : undefined,
    audience:
      typeof token.audience === 'string' && token.audience !== '' ? token.audience : config.pushEndpoint,
    wrapped: !isObject(config.noWrapper),
    writeMetadata: isObject(config.noWrapper) && config.noWrapper.writeMetadata === true,
  };
}
