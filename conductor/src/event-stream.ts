/** Server-sent events, out of the bytes of an answer. */

export interface StreamEvent {
  /** What goes on behind it: the last id that was given. */
  readonly id: string;
  readonly name: string;
  readonly data: string;
}

/**
 * Yields each event once it is whole. Ends where the answer ends, and rejects where that breaks off; an event of which
 * a part is missing is none.
 */
export async function* eventsIn(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<StreamEvent> {
  let id = '';
  let name = '';
  let data: string[] = [];
  for await (const line of linesIn(chunks)) {
    if (line === '') {
      if (data.length > 0) yield { id, name: name === '' ? 'message' : name, data: data.join('\n') };
      name = '';
      data = [];
      continue;
    }
    const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === 'id') id = value;
    if (field === 'event') name = value;
    if (field === 'data') data.push(value);
  }
}

/** Without their ends; what follows the last end is not told. */
async function* linesIn(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    // Half of an end of two characters may still be on its way.
    const whole = rest.endsWith('\r') ? rest.slice(0, -1) : rest;
    const lines = whole.split(/\r\n|\n|\r/);
    rest = (lines.pop() ?? '') + rest.slice(whole.length);
    yield* lines;
  }
}
