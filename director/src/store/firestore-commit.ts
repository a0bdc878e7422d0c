/** What a commit means in Firestore: which documents have to stand how, and what is written on that condition. */
import type { DocumentWrite } from './firestore-client.ts';
import { type Body, partName, partNames, type Revision, revisionFields } from './firestore-layout.ts';
import { Conflict, type Write } from './store.ts';

/** How many of the commits that wrote it a document remembers. */
const SIGNATURES = 8;

/** How a document stands, as far as we know. */
export type Standing = Revision | 'absent';

export type PreparedWrite = Write & { readonly name: string; readonly body?: Body };

/** What a commit makes of one document. */
export interface Effect {
  readonly name: string;
  /** A check leaves it as it is. */
  readonly type: Write['type'];
  readonly from: Standing;
  /** Afterwards; undefined when it is absent then. */
  readonly version: number | undefined;
  /** Of a put. */
  readonly body?: Body | undefined;
}

/** Undefined where nothing can be said without looking. */
export function guessOf({ if: condition }: Write, known: Revision | undefined): Standing | undefined {
  if (condition === 'absent') return 'absent';
  return condition === 'any' || condition === known?.version ? known : undefined;
}

/** What the writes, one after the other, make of the documents. Throws Conflict when a condition does not hold. */
export function effectsOf(
  writes: readonly PreparedWrite[],
  standing: ReadonlyMap<string, Standing>,
): Effect[] {
  const effects = new Map<string, Effect>();
  for (const { key, name, type, if: condition, body } of writes) {
    const from = standing.get(name) ?? 'absent';
    const before = effects.get(name) ?? unchanged(name, from);
    const { version } = before;
    const holds = condition === 'any' || condition === (version ?? 'absent');
    if (!holds) throw new Conflict(key);
    if (type === 'put') effects.set(name, { name, type, from, version: (version ?? 0) + 1, body });
    else effects.set(name, type === 'delete' ? { name, type, from, version: undefined } : before);
  }
  return [...effects.values()];
}

function unchanged(name: string, from: Standing): Effect {
  return { name, type: 'check', from, version: from === 'absent' ? undefined : from.version };
}

/** The writes that have these effects: one for each, in their order, and after them those of the parts. */
export function documentWrites(effects: readonly Effect[], signature: string): DocumentWrite[] {
  const documents = effects.map((effect) => documentWrite(effect, signature));
  return [...documents, ...effects.flatMap((effect) => partWrites(effect, signature))];
}

/** On the condition that the document still stands as it did. */
function documentWrite(effect: Effect, signature: string): DocumentWrite {
  const { name, from, body } = effect;
  const currentDocument = from === 'absent' ? { exists: false } : { updateTime: from.updateTime };
  const revision = revisionAfter(effect, signature);
  // To delete what is absent changes nothing: it is also how absence is checked.
  if (!revision) return { delete: name, currentDocument };
  if (body)
    return { update: { name, fields: { ...body.fields, ...revisionFields(revision) } }, currentDocument };
  // A check. Firestore finds the version there already, changes nothing, and leaves the time of the document as it is.
  const fields = { version: { integerValue: revision.version } };
  return { update: { name, fields }, updateMask: { fieldPaths: ['version'] }, currentDocument };
}

/** Makes the parts of a document that is written, and removes those that it had. */
function partWrites({ name, type, from, body }: Effect, signature: string): DocumentWrite[] {
  if (type === 'check') return [];
  const old = from === 'absent' ? [] : partNames(name, from);
  const parts = body?.parts ?? [];
  return [
    ...old.map((part) => ({ delete: part })),
    ...parts.map((bytes, number) => ({
      update: { name: partName(name, signature, number), fields: { packed: { bytesValue: bytes } } },
    })),
  ];
}

/** Undefined when the document is absent then. */
export function revisionAfter(
  { from, version, body }: Effect,
  signature: string,
): Omit<Revision, 'updateTime'> | undefined {
  if (version === undefined) return undefined;
  const { commits, parts } = from === 'absent' ? NEW : from;
  if (!body) return { version, commits, parts };
  return { version, commits: [signature, ...commits].slice(0, SIGNATURES), parts: body.parts.length };
}

const NEW = { commits: [], parts: 0 };

export function isSigned(standing: Standing, signature: string): boolean {
  return standing !== 'absent' && standing.commits.includes(signature);
}
