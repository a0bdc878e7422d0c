/** How far each resource of a deployment is, in the words of this dialect: from what the tool has said of it. */
import { type DeploymentRecord, isEnded, type JournalEntry } from '../../store/records.ts';

export type ResourceStatus =
  | 'creating'
  | 'created'
  | 'updating'
  | 'updated'
  | 'deleting'
  | 'deleted'
  | 'failed';

/** By address; only those that were begun. */
export type Statuses = ReadonlyMap<string, ResourceStatus>;

const BEGUN: Readonly<Record<string, ResourceStatus>> = {
  Creating: 'creating',
  Modifying: 'updating',
  Destroying: 'deleting',
};
const DONE: Readonly<Record<string, ResourceStatus>> = {
  Creation: 'created',
  Modifications: 'updated',
  Destruction: 'deleted',
};

/** The newest word on each counts: what is replaced goes before it comes. */
export function statusesOf(
  entries: readonly JournalEntry[],
  { status }: Pick<DeploymentRecord, 'status'>,
): Statuses {
  const statuses = new Map<string, ResourceStatus>();
  for (const entry of entries) {
    if (entry.type !== 'log' || entry.resource === undefined) continue;
    const word = entry.level === 'error' ? 'failed' : wordOn(entry.resource, entry.message);
    if (word) statuses.set(entry.resource, word);
  }
  if (!isEnded(status)) return statuses;
  return new Map([...statuses].map(([address, word]) => [address, settled(word, status === 'succeeded')]));
}

/** Right behind the address alone: what programs print comes behind their own name, and may say anything. */
function wordOn(resource: string, message: string): ResourceStatus | undefined {
  if (!message.startsWith(`${resource}: `)) return undefined;
  const said = message.slice(resource.length + 2);
  const begun = /^(Creating|Modifying|Destroying)\.\.\./.exec(said)?.[1];
  if (begun !== undefined) return BEGUN[begun];
  const [, ended = '', how] =
    /^(Creation|Modifications|Destruction) (complete|errored) after /.exec(said) ?? [];
  return how === 'errored' ? 'failed' : DONE[ended];
}

/** A machine may be lost with the last line that was said on it. */
function settled(word: ResourceStatus, isGood: boolean): ResourceStatus {
  switch (word) {
    case 'creating':
      return isGood ? 'created' : 'failed';
    case 'updating':
      return isGood ? 'updated' : 'failed';
    case 'deleting':
      return isGood ? 'deleted' : 'failed';
    default:
      return word;
  }
}
