/** How deep lists and objects lie in each other, told before anything reads them that would go down by itself, and not come back. */

/** Nothing that means anything is deeper, a schema included. */
export const MOST_DEPTH = 100;

/** Brackets in texts do not count; what is no JSON at all is for others to refuse. */
export function isDeeper(json: string, most: number): boolean {
  let depth = 0;
  let isText = false;
  for (let at = 0; at < json.length; at++) {
    const char = json[at];
    if (isText) {
      if (char === '\\') at++;
      else if (char === '"') isText = false;
    } else if (char === '"') isText = true;
    else if (char === '[' || char === '{') {
      depth++;
      if (depth > most) return true;
    } else if (char === ']' || char === '}') depth--;
  }
  return false;
}
