/** Text of others, as far as it may be shown: without what looks like a secret, and not too long. */

const HIDDEN = '***';

/** A word that announces a secret, and the secret after it. */
const ANNOUNCED =
  /((?:password|passwd|secret|token|credential|authorization|api[_-]?key|private[_-]?key)[\w-]{0,40}["']?\s{0,9}[:=]\s{0,9})(?:(?:Bearer|Basic)\s+)?("[^"]*"?|'[^']*'?|[^\s,;&"'}]+)/gi;

/** What is a secret by its own looks: our own, signatures, tokens, the name and password in a URL. */
const TELLING = [
  /\bwhsec_[\w+/=-]+/g,
  /\bv1,[\w+/=-]{16,}/g,
  /\b(?:Bearer|Basic)\s+[\w.~+/=-]+/gi,
  /\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?/g,
  /\bya29\.[\w.-]+/g,
  /(?<=:\/\/)[^\s/@:]{1,200}:[^\s/@]{1,200}(?=@)/g,
] as const;

/** Not more than this is looked through, so that no text takes long; a multiple of what is shown. */
const LOOKED_THROUGH = 4;

/** `most`: characters. Control characters become spaces: this is shown in terminals. */
export function masked(text: string, most: number): string {
  let shown = text.slice(0, most * LOOKED_THROUGH).replace(/[^\P{C}\n]+/gu, ' ');
  for (const pattern of TELLING) shown = shown.replace(pattern, HIDDEN);
  shown = shown.replace(ANNOUNCED, `$1${HIDDEN}`);
  return shown.length > most ? `${shown.slice(0, most)}…` : shown;
}
