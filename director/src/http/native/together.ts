/** Those who ask the same at the same moment: one look at the store serves them all. */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Texts that are the same ask the same. */
export type Together<Answer> = (question: string, look: () => Promise<Answer>) => Promise<Answer>;

/**
 * A look begins after all who share it have asked, and whoever comes later waits for the next one. So nobody is told
 * less than they would have seen alone: what was written before they asked is in their answer.
 */
export function together<Answer>(): Together<Answer> {
  const gathering = new Map<string, Promise<Answer>>();
  return (question, look) => {
    const joined = gathering.get(question);
    if (joined) return joined;
    const answer = nextTurn().then(() => {
      gathering.delete(question);
      return look();
    });
    gathering.set(question, answer);
    return answer;
  };
}
