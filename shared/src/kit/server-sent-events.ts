/** Reads a stream of server-sent events, as WHATWG HTML describes them. */

export interface ServerSentEvent {
  /** What goes into Last-Event-ID to go on behind it; undefined as long as the stream has given none. */
  readonly id: string | undefined;
  /** `message` where it has no name. */
  readonly name: string;
  readonly data: string;
}

/** `chunks` may be cut anywhere, within a character too. An event that is not whole at the end is none. */
export async function* serverSentEvents(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  let id: string | undefined;
  let name = '';
  let data: string[] = [];
  for await (const line of linesOf(chunks)) {
    if (line === '') {
      if (data.length > 0) yield { id, name: name || 'message', data: data.join('\n') };
      name = '';
      data = [];
      continue;
    }
    const [, field, value = ''] = /^([^:]*)(?:: ?([\s\S]*))?$/.exec(line) ?? [];
    if (field === 'data') data.push(value);
    else if (field === 'event') name = value;
    else if (field === 'id' && !value.includes('\0')) id = value;
  }
}

/** Whole ones, which end with any of \n, \r\n and \r. */
async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    // Of a \r at the end it is not known yet whether a \n belongs to it.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    yield* lines;
  }
}
