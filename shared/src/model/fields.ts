/** The building blocks of an architecture: names, durations, labels, checked as Google checks them. */
import { z } from 'zod';
import { quote } from './diagnostic.ts';

const UNIT_SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/**
 * A length of time as it was written: `600s`, `10m`, `24h`, `7d`, `1h30m`.
 * The text itself is the value, so that it survives a round trip exactly.
 */
export const Duration = z
  .string()
  .regex(/^(\d+(\.\d+)?[smhd])+$/, {
    abort: true,
    error: (issue) => `${quote(issue.input)} is no duration; write it like 600s, 10m, 24h, 7d or 1h30m`,
  })
  .meta({ description: 'A length of time: 600s, 10m, 24h, 7d, 1h30m', examples: ['600s', '7d'] })
  .brand<'Duration'>();
export type Duration = z.output<typeof Duration>;

export function secondsOf(duration: Duration): number {
  let seconds = 0;
  for (const [, amount, unit] of duration.matchAll(/(\d+(?:\.\d+)?)([smhd])/g)) {
    seconds += Number(amount) * UNIT_SECONDS[unit as keyof typeof UNIT_SECONDS];
  }
  return seconds;
}

/** A duration between two others, both inclusive. */
export function durationWithin(least: string, most: string): typeof Duration {
  const [low, high] = [Duration.parse(least), Duration.parse(most)];
  return Duration.refine(
    (value) => secondsOf(value) >= secondsOf(low) && secondsOf(value) <= secondsOf(high),
    {
      error: (issue) => `${quote(issue.input)} is out of range: ${least} to ${most}`,
    },
  );
}

/** What a name may be, in words and as a pattern. */
export interface NameRule {
  readonly what: string;
  readonly pattern: RegExp;
  readonly rule: string;
}

export function nameOf({ what, pattern, rule }: NameRule): z.ZodString {
  return z
    .string()
    .regex(pattern, { error: (issue) => `Google refuses ${quote(issue.input)} as ${what}: ${rule}` })
    .meta({ description: `${what}: ${rule}`.replace(/^./, (first) => first.toUpperCase()) });
}

export const ProjectId = nameOf({
  what: 'a project id',
  pattern: /^[a-z][a-z0-9-]{4,28}[a-z0-9]$/,
  rule: '6 to 30 lower-case letters, digits or hyphens, beginning with a letter and not ending with a hyphen',
});

export const Region = nameOf({
  what: 'a region',
  pattern: /^[a-z]+-[a-z]+\d+$/,
  rule: 'such as us-central1 or europe-west4',
});

/** Also the value of a label on everything that belongs to it. */
export const ArchitectureName = nameOf({
  what: 'the name of an architecture, environment or dataflow',
  pattern: /^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$/,
  rule: 'at most 40 lower-case letters, digits or hyphens, beginning with a letter and not ending with a hyphen',
});

export const ServiceName = nameOf({
  what: 'the name of a Cloud Run service',
  pattern: /^[a-z]([-a-z0-9]{0,47}[a-z0-9])?$/,
  rule: 'at most 49 lower-case letters, digits or hyphens, beginning with a letter and not ending with a hyphen',
});

const ACCOUNT_ID = /^[a-z][-a-z0-9]{4,28}[a-z0-9]$/;

/** The short id of an account in the project, or the whole email of one that is managed elsewhere. */
export const ServiceAccountName = z
  .string()
  .refine((value) => ACCOUNT_ID.test(value) || /^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(value), {
    error: (issue) =>
      `Google refuses ${quote(issue.input)} as a service account: 6 to 30 lower-case letters, digits or hyphens, beginning with a letter and not ending with a hyphen; or the whole email of an existing account`,
  })
  .meta({ description: 'The id of a service account (6 to 30 characters), or the email of an existing one' });

export const TopicName = nameOf({
  what: 'a topic or subscription name',
  pattern: /^(?!goog)[A-Za-z][\w.~+%-]{2,254}$/,
  rule: '3 to 255 letters, digits or any of - _ . ~ + %, beginning with a letter and not with "goog"',
});

export const BucketName = nameOf({
  what: 'a bucket name',
  pattern: /^(?!goog)(?!.*google)(?!.*\.\.)[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/,
  rule: '3 to 63 lower-case letters, digits or any of - _ . (more with dots), beginning and ending with a letter or digit, without "google"; bucket names are shared by the whole world',
}).refine((value) => value.includes('.') || value.length <= 63, {
  error: (issue) => `Google refuses ${quote(issue.input)} as a bucket name: it has more than 63 characters`,
});

export const RepositoryName = nameOf({
  what: 'a repository name',
  pattern: /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/,
  rule: 'at most 63 lower-case letters, digits or hyphens, beginning with a letter and not ending with a hyphen',
});

/** https://cloud.google.com/resource-manager/docs/labels-overview */
export const Labels = z
  .record(
    z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, {
      error: (issue) =>
        `Google refuses ${quote(issue.input)} as a label: at most 63 lower-case letters, digits, _ or -, beginning with a letter`,
    }),
    z.string().regex(/^[a-z0-9_-]{0,63}$/, {
      error: (issue) =>
        `Google refuses ${quote(issue.input)} as the value of a label: at most 63 lower-case letters, digits, _ or -`,
    }),
  )
  .meta({ description: 'Labels: at most 63 lower-case letters, digits, _ or - each' });

export const Role = z
  .string()
  .regex(/^(roles\/[\w.]+|(projects|organizations)\/[^/]+\/roles\/[\w.]+)$/, {
    error: (issue) => `${quote(issue.input)} is no role; write it like roles/pubsub.publisher`,
  })
  .meta({ description: 'An IAM role, e.g. roles/pubsub.publisher' });

export const EnvironmentVariable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, {
  error: (issue) => `${quote(issue.input)} is no name of an environment variable: letters, digits and _`,
});
