/**
 * Reads the headings of blocks in Terraform's language: `provisioner "local-exec" {`. No more of it is understood.
 *
 * Comments, texts with templates in them, and heredocs are passed over, so that nothing that stands in one is taken
 * for a block, and nothing that is a block is hidden by one.
 */

export interface Block {
  readonly type: string;
  readonly labels: readonly string[];
  /** How many blocks or objects it stands in. */
  readonly depth: number;
  /** Its own plain settings: words and texts, as they were written. */
  readonly settings: ReadonlyMap<string, string>;
}

type Token =
  | { readonly type: 'word' | 'text'; readonly value: string }
  | { readonly type: 'sign'; readonly value: string };

export function blocksOf(source: string): readonly Block[] {
  const tokens = tokensOf(source);
  const blocks: Block[] = [];
  /** What is open: the settings of a block, or nothing of an object or a list. */
  const open: (Map<string, string> | undefined)[] = [];
  for (let place = 0; place < tokens.length; place++) {
    const token = tokens[place];
    if (!token) break;
    const heading = token.type === 'word' ? headingAt(tokens, place) : undefined;
    if (heading) {
      const settings = new Map<string, string>();
      blocks.push({ ...heading, depth: open.length, settings });
      open.push(settings);
      place += heading.labels.length + 1;
    } else if (token.type === 'sign' && token.value === '{') open.push(undefined);
    else if (token.type === 'sign' && token.value === '}') open.pop();
    else if (token.type === 'word') noteSetting(tokens, place, open.at(-1));
  }
  return blocks;
}

function headingAt(tokens: readonly Token[], place: number): Pick<Block, 'type' | 'labels'> | undefined {
  const [first, ...rest] = tokens.slice(place, place + 6);
  const end = rest.findIndex(({ type }) => type === 'sign');
  if (first?.type !== 'word' || rest[end]?.value !== '{') return undefined;
  return { type: first.value, labels: rest.slice(0, end).map(({ value }) => value) };
}

function noteSetting(
  tokens: readonly Token[],
  place: number,
  settings: Map<string, string> | undefined,
): void {
  const [name, equals, value] = tokens.slice(place, place + 3);
  if (!settings || !name || equals?.type !== 'sign' || equals.value !== '=' || !value) return;
  settings.set(name.value, value.value);
}

const WORD = /[\p{L}_][\p{L}\p{N}_-]*/uy;
const SPACE = /(?:\s|#[^\n]*|\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$))+/y;
const COMMENT = /#[^\n]*|\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/y;
const HEREDOC = /<<-?([\p{L}_][\p{L}\p{N}_-]*)\r?\n/uy;

function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  const match = (pattern: RegExp, at: number): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(source);
  };
  for (let at = 0; at < source.length; ) {
    const space = match(SPACE, at);
    const word = space ? null : match(WORD, at);
    const heredoc = (space ?? word) ? null : match(HEREDOC, at);
    if (space) at += space[0].length;
    else if (word) {
      tokens.push({ type: 'word', value: word[0] });
      at += word[0].length;
    } else if (heredoc) at = endOfHeredoc(source, at + heredoc[0].length, heredoc[1] ?? '');
    else if (source[at] === '"') {
      const end = endOfText(source, at);
      tokens.push({ type: 'text', value: plain(source.slice(at + 1, end - 1)) });
      at = end;
    } else tokens.push({ type: 'sign', value: source[at++] ?? '' });
  }
  return tokens;
}

function endOfHeredoc(source: string, at: number, marker: string): number {
  for (let start = at; start < source.length; ) {
    const newline = source.indexOf('\n', start);
    const end = newline < 0 ? source.length : newline;
    if (source.slice(start, end).trim() === marker) return end;
    start = end + 1;
  }
  return source.length;
}

/** Just after the closing quote; `${…}` and `%{…}` within may hold texts again. */
function endOfText(source: string, start: number): number {
  for (let at = start + 1; at < source.length; at++) {
    const here = source[at];
    if (here === '\\') at++;
    else if (here === '"') return at + 1;
    else if (here === '\n') return at;
    else if (here === '$' || here === '%') {
      const isEscaped = source[at + 1] === here && source[at + 2] === '{';
      if (isEscaped) at += 2;
      else if (source[at + 1] === '{') at = endOfTemplate(source, at + 2) - 1;
    }
  }
  return source.length;
}

function endOfTemplate(source: string, start: number): number {
  let depth = 1;
  for (let at = start; at < source.length; at++) {
    const here = source[at];
    COMMENT.lastIndex = at;
    const comment = COMMENT.exec(source);
    if (comment) at += comment[0].length - 1;
    else if (here === '"') at = endOfText(source, at) - 1;
    else if (here === '{') depth++;
    else if (here === '}' && --depth === 0) return at + 1;
  }
  return source.length;
}

/** A label may be written with escapes: `"local\u002dexec"`. */
function plain(text: string): string {
  return text.replace(/\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|\\(.)/g, (_all, short, long, single) => {
    const code = Number.parseInt(short ?? long ?? '', 16);
    if (Number.isNaN(code)) return single;
    return code <= 0x10ffff ? String.fromCodePoint(code) : '';
  });
}
