/**
 * Asks a director over HTTP and tells it what to do, again while it does not answer: one that is killed and started
 * again in the middle of it costs time, and nothing else.
 */
import type { CommandData, CommandType } from '@service-director/shared/contract/command.ts';
import {
  type DeploymentReport,
  isTerminal,
  type TerminalEvent,
} from '@service-director/shared/contract/event.ts';
import type { LogLine } from '@service-director/shared/contract/rest/schemas.ts';
import type { Owner } from '@service-director/shared/model/unit.ts';
import type { BareContext, RunContext } from './context.ts';
import { hearDeployment } from './deployment-stream.ts';
import { type CommandDetail, type DirectorHttp, directorHttp, Refused, Unanswered } from './director-http.ts';
import { EXIT, Failure } from './failure.ts';
import { RunTimedOut } from './open.ts';
import { findDirector, locateDirector } from './phases/bootstrap.ts';
import { OUT_OF_REACH_MS } from './reach.ts';
import { stackCalled } from './stacks.ts';

export type Completed = Extract<TerminalEvent, { type: 'completed' }>;

/** What a command may be told: what is left out the director fills in. */
export type Told<Type extends CommandType> = Partial<CommandData[Type]>;

export interface Desk {
  /**
   * The stack of a dataflow of the architecture, or any stack by its whole name, `<scope>/<dataflow>`. Without an
   * architecture a dataflow's name is enough where the director has one stack of it; else rejects with a Failure.
   */
  stackNamed(name: string): Promise<Owner>;
  /** Rejects with what the director refuses, or, when nobody answers for too long, with that. */
  ask<T>(question: (director: DirectorHttp) => Promise<T>): Promise<T>;
  /**
   * Tells the journal of a deployment line by line, until that has ended; a connection that breaks off is taken up
   * where it was. Resolves with the report.
   */
  follow(deployment: string, onLine: (line: LogLine) => void): Promise<DeploymentReport>;
  /**
   * Sends a command and waits for the last word on it. `onLook` gets what the director says of it meanwhile. Rejects
   * with a Failure when it failed.
   */
  tell<Type extends CommandType>(
    type: Type,
    data: Told<Type>,
    onLook?: (detail: CommandDetail) => void,
  ): Promise<Completed>;
}

/** How often a director that does not answer is asked, at first and at most; and one that is at work. Milliseconds. */
const AGAIN_MS = { first: 200, most: 3_000 };
const LOOK_MS = { first: 50, most: 1_000 };

/** What to do about a director that does not answer, where nothing but its URL is known of it. */
export const AT_ITS_URL = 'see whether the URL is right, and whether the director runs there';

export async function openDesk(context: RunContext | BareContext): Promise<Desk> {
  const { clock, signal, emit, run } = context;
  let url = context.architecture ? await findDirector(context) : context.directorUrl;
  let commands = 0;
  let hasAnswered = false;

  function advised(failure: Unanswered): Failure {
    if (context.architecture) return failure;
    return new Failure(failure.message, { exitCode: failure.exitCode, fix: AT_ITS_URL, cause: failure });
  }

  const ask = <T>(question: (director: DirectorHttp) => Promise<T>): Promise<T> =>
    askAt((at) => question(directorHttp(at, context)));

  async function askAt<T>(question: (url: string) => Promise<T>): Promise<T> {
    const began = clock.now();
    let lost: Unanswered | undefined;
    /** Nobody waits longer than was said: then that it does not answer is what there is to tell. */
    const endOf = (reason: unknown): unknown =>
      reason instanceof RunTimedOut && lost ? advised(lost) : reason;
    for (let wait = AGAIN_MS.first; ; wait = Math.min(AGAIN_MS.most, wait * 1.6)) {
      const answer = await question(url).catch((error: unknown) => {
        if (error instanceof Unanswered) return error;
        throw endOf(error);
      });
      if (!(answer instanceof Unanswered)) {
        hasAnswered = true;
        return answer;
      }
      // What never was there does not come back; what its cloud knows of may be on its way.
      const isNobody = answer.isNobody && !hasAnswered && context.directorUrl !== undefined;
      if (isNobody || clock.now() - began > OUT_OF_REACH_MS) throw advised(answer);
      if (!lost) emit({ type: 'note', message: `${answer.message}; it is asked again` });
      lost = answer;
      await clock.sleep(wait, signal).catch((reason) => {
        throw endOf(reason);
      });
      url = await elsewhere();
    }
  }

  /** Somebody may have moved it, or taken it down. When that cannot be asked either, we go on as before. */
  async function elsewhere(): Promise<string> {
    const found = context.architecture ? await locateDirector(context).catch(() => url) : url;
    if (found !== undefined) return found;
    throw new Failure('the director was removed meanwhile', {
      exitCode: EXIT.unreachable,
      fix: 'run conductor up',
    });
  }

  /** Undefined for a command that its ledger does not know. */
  function look(id: string): Promise<CommandDetail | undefined> {
    return ask((director) =>
      director.command(id).catch((error: unknown) => {
        if (error instanceof Refused && error.status === 404) return undefined;
        throw error;
      }),
    );
  }

  async function lastWord(
    type: CommandType,
    data: object,
    onLook: (detail: CommandDetail) => void,
  ): Promise<TerminalEvent> {
    // The same id, however often it is sent: no second effect.
    commands += 1;
    const id = commands === 1 ? `${run}.${type}` : `${run}.${type}.${commands}`;
    let isSent = false;
    for (let wait = LOOK_MS.first; ; wait = Math.min(LOOK_MS.most, wait * 1.5)) {
      if (!isSent) await ask((director) => director.send(type, id, data));
      const found = await look(id);
      // A director that was killed may have lost it, with all that it had not yet written down.
      isSent = found !== undefined;
      if (found) onLook(found);
      if (found?.answer && isTerminal(found.answer)) return found.answer;
      await clock.sleep(wait, signal);
    }
  }

  return {
    stackNamed: (name) => stackCalled(name, context, () => ask((director) => director.stacks())),
    ask,
    async follow(deployment, onLine) {
      let heard: string | undefined;
      for (;;) {
        const report = await askAt((at) =>
          hearDeployment(
            at,
            deployment,
            heard,
            (line, eventId) => {
              heard = eventId ?? heard;
              onLine(line);
            },
            context,
          ),
        );
        if (report) return report;
        await clock.sleep(AGAIN_MS.first, signal);
      }
    },
    async tell(type, data, onLook = () => {}) {
      const answer = await lastWord(type, data, onLook);
      if (answer.type === 'completed') return answer;
      throw new Failure(answer.error, { fix: answer.fix });
    },
  };
}
