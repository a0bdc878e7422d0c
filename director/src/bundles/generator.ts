/** Code from a generator of infrastructure code: the files of one of its jobs, once that is done. */
import { CloudError } from '@service-director/shared/cloud/error.ts';
import type { Clock, Random } from '@service-director/shared/kit/clock.ts';
import { never } from '@service-director/shared/kit/never.ts';
import { backoffMs } from '@service-director/shared/kit/retry.ts';
import { z } from 'zod';
import { type Answer, ask } from '../http/public-address.ts';
import type { BadBundle } from './bad-bundle.ts';
import type { BundleFile } from './bundle.ts';

export interface GeneratorOptions {
  /** `http://iac-generator:3002`; undefined: there is none. It may be on any network, for it was set up. */
  readonly url: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

const MOST_BYTES = 20 * 1024 ** 2;
const CALL_MS = 30_000;
/** How long a job may take from when it is first asked for. */
const PATIENCE_MS = 600_000;
/** Calls without an answer, one after the other, before it is given up. */
const MOST_LOST = 5;
const BETWEEN = { firstMs: 500, longestMs: 5_000, factor: 1.5 };

const Job = z.object({
  status: z.enum(['pending', 'processing', 'completed', 'failed']),
  targetFormat: z.string().optional(),
  output: z
    .object({
      code: z.string().nullish(),
      files: z.array(z.object({ name: z.string(), content: z.string() })).nullish(),
    })
    .nullish(),
  error: z.unknown().optional(),
});
type Job = z.output<typeof Job>;

/** What its answers say where something is wrong. */
const Wrong = z.object({ error: z.string().min(1) });

/** Where code without a name goes, by format. */
const MAIN: Readonly<Record<string, string>> = {
  terraform: 'main.tf',
  bicep: 'main.bicep',
  cloudformation: 'template.yaml',
};

/** Rejects with a CloudError whose message is `Failed to fetch generated code: ` and the generator's own words. */
export async function fromGenerator(
  job: string,
  options: GeneratorOptions,
  signal: AbortSignal,
): Promise<BundleFile[]> {
  return filesOfJob(await finished(job, options, signal), () => download(job, options, signal));
}

async function finished(id: string, options: GeneratorOptions, signal: AbortSignal): Promise<Job> {
  const { clock, random } = options;
  const until = clock.now() + PATIENCE_MS;
  for (let looks = 1; ; looks++) {
    const job = await look(id, options, signal);
    switch (job.status) {
      case 'completed':
        return job;
      case 'failed':
        throw failed(
          'precondition',
          typeof job.error === 'string' && job.error ? job.error : 'Generation failed',
        );
      case 'pending':
      case 'processing':
        if (clock.now() >= until) throw failed('unknown-outcome', `the job is still ${job.status}`);
        // Never at once, whatever the dice say: it is at work.
        await clock.sleep(BETWEEN.firstMs / 2 + backoffMs(looks, BETWEEN, random), signal);
        break;
      default:
        return never(job.status);
    }
  }
}

async function look(id: string, options: GeneratorOptions, signal: AbortSignal): Promise<Job> {
  const { body } = await call(`/api/generate/${encodeURIComponent(id)}`, options, signal);
  const job = Job.safeParse(jsonOf(body));
  if (!job.success) throw failed('invalid', 'the generator answers with what is no job');
  return job.data;
}

async function filesOfJob(job: Job, downloaded: () => Promise<string>): Promise<BundleFile[]> {
  const files = job.output?.files ?? [];
  if (files.length > 0)
    return files.map(({ name, content }) => ({ path: name, content: Buffer.from(content) }));
  const code = job.output?.code || (await downloaded());
  if (code.trim() === '') throw failed('invalid', 'the job has no code');
  return [{ path: MAIN[job.targetFormat ?? 'terraform'] ?? 'main.tf', content: Buffer.from(code) }];
}

async function download(id: string, options: GeneratorOptions, signal: AbortSignal): Promise<string> {
  const { body } = await call(`/api/generate/${encodeURIComponent(id)}/download`, options, signal);
  return body.toString('utf8');
}

/** A good answer, asked for as often as it takes; all that it asks only reads. */
async function call(
  path: string,
  { url, clock, random }: GeneratorOptions,
  signal: AbortSignal,
): Promise<Answer> {
  if (url === undefined) throw failed('refused', 'IAC_GENERATOR_URL is not set');
  for (let attempt = 1; ; attempt++) {
    const answer = await answerOf(`${url.replace(/\/+$/, '')}${path}`, signal);
    if (!(answer instanceof CloudError)) return answer;
    if (answer.reason !== 'unknown-outcome' || attempt >= MOST_LOST) throw answer;
    await clock.sleep(backoffMs(attempt, BETWEEN, random), signal);
  }
}

async function answerOf(url: string, signal: AbortSignal): Promise<Answer | CloudError> {
  let answer: Answer;
  try {
    answer = await ask(url, { allowPrivate: true, mostBytes: MOST_BYTES, timeoutMs: CALL_MS, signal });
  } catch (error) {
    signal.throwIfAborted();
    return failed(
      'unknown-outcome',
      `the generator at IAC_GENERATOR_URL cannot be reached: ${wordsOf(error)}`,
      error,
    );
  }
  const { status, body } = answer;
  if (status === 200) return answer;
  const said = Wrong.safeParse(jsonOf(body)).data?.error ?? `the generator answers with ${status}`;
  if (status === 404) return failed('not-found', said);
  return failed(status >= 500 || status === 429 ? 'unknown-outcome' : 'invalid', said);
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** What the network says has no message where it tried several addresses, but a code. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message || ('code' in error ? String(error.code) : error.name);
}

const LONGEST_MESSAGE = 2_000;

function failed(reason: CloudError['reason'], words: string, cause?: unknown): CloudError {
  const plain = words.replace(/[^\P{Cc}\n\t]/gu, '').slice(0, LONGEST_MESSAGE);
  return new CloudError(reason, `Failed to fetch generated code: ${plain}`, { cause });
}

/** The same for code that was fetched, and is none that can be kept. */
export function badCode(error: BadBundle): CloudError {
  return failed('invalid', error.message, error);
}
