/** Asks the director for one command per dataflow, all at once; one that fails does not stop the others. */
import type { TerminalEvent } from '@service-director/shared/contract/event.ts';
import type { Architecture } from '@service-director/shared/model/architecture.ts';
import type { CommandTopic } from '@service-director/shared/model/hydrate.ts';
import { dataflowsOf, type RunContext } from '../context.ts';
import type { DirectorClient } from '../director-client.ts';
import type { Phase } from '../event.ts';
import { Failure } from '../failure.ts';
import { sendModules } from '../modules.ts';

export interface CommandOptions {
  readonly type: CommandTopic;
  readonly phase: Phase | 'teardown';
  readonly client: DirectorClient;
  readonly directorUrl: string;
  /** More of the command's data, for one dataflow. */
  more(dataflow: string): object;
  /** In whose absence all of the run's are meant. */
  readonly dataflows?: readonly string[];
}

export async function commandAll(
  options: CommandOptions,
  context: RunContext,
): Promise<Extract<TerminalEvent, { type: 'completed' }>[]> {
  const names = options.dataflows ?? dataflowsOf(context).map(({ name }) => name);
  // What is only removed is known by what was applied.
  const document =
    options.type === 'teardown' ? context.document : await sendModules(options.directorUrl, context);
  const answers = await Promise.all(names.map((name) => commandOne(name, document, options, context)));
  const failures = answers.filter((answer) => answer.type !== 'completed');
  const [first] = failures;
  if (first) {
    const message = failures.map((answer) => ('error' in answer ? answer.error : '')).join('\n');
    throw new Failure(message, { fix: 'fix' in first ? first.fix : undefined });
  }
  return answers.flatMap((answer) => (answer.type === 'completed' ? [answer] : []));
}

async function commandOne(
  name: string,
  document: Architecture,
  options: CommandOptions,
  context: RunContext,
): Promise<TerminalEvent> {
  const { type, phase, client, directorUrl } = options;
  const { emit, clock, environment } = context;
  const task = `${type}/${name}`;
  const started = clock.now();
  emit({ type: 'task-started', phase, task, what: type });
  const data = {
    dataflow: name,
    architecture: { document, ...(environment === undefined ? {} : { environment }) },
    director_url: directorUrl,
    timeout_seconds: commandSeconds(context),
    ...context.wishes,
    ...options.more(name),
  };
  const answer = await client.ask(type, name, data, (because) =>
    emit({ type: 'task-waiting', phase, task, because }),
  );
  const seconds = (clock.now() - started) / 1000;
  if (answer.type === 'completed') {
    const changed = answer.deployments.some(({ units }) => units.some(({ result }) => result !== 'kept'));
    emit({ type: 'task-finished', phase, task, result: changed ? 'done' : 'unchanged', seconds });
  } else {
    emit({ type: 'task-finished', phase, task, result: 'failed', seconds, because: answer.error });
  }
  return answer;
}

const LEAST_SECONDS = 3_600;
/** The director takes no more. */
const MOST_SECONDS = 86_400;

/** A run that gives up waiting leaves its commands to the director: they are given longer than it. */
export function commandSeconds({ timeoutSeconds }: Pick<RunContext, 'timeoutSeconds'>): number {
  return Math.min(MOST_SECONDS, Math.max(LEAST_SECONDS, Math.ceil(2 * timeoutSeconds)));
}
