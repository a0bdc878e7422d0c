/** One request asked over and over, on connections that stay open, for so long. Written by hand on sockets: what asks must take less than what answers. */
import { connect, type Socket } from 'node:net';

export interface Question {
  readonly method: 'GET' | 'POST';
  readonly port: number;
  readonly path: string;
  readonly body?: object;
  /** What each answer has to be. */
  readonly status: number;
}

export interface Load {
  readonly connections: number;
  readonly ms: number;
}

/** How many were answered in a second. Rejects at the first answer of another status. */
export async function answersPerSecond(question: Question, { connections, ms }: Load): Promise<number> {
  const began = performance.now();
  const ends = began + ms;
  const counts = await Promise.all(Array.from({ length: connections }, () => answersUntil(ends, question)));
  const seconds = (performance.now() - began) / 1_000;
  return counts.reduce((sum, count) => sum + count, 0) / seconds;
}

async function answersUntil(ends: number, question: Question): Promise<number> {
  const line = await openLine(question);
  try {
    let count = 0;
    for (; performance.now() < ends; count++) await line.ask();
    return count;
  } finally {
    line.close();
  }
}

/** A connection on which one question is asked, one time after the other. */
export interface Line {
  /** Resolves with the body when the whole answer is there. Rejects when it has another status. */
  ask(): Promise<string>;
  close(): void;
}

export async function openLine(question: Question): Promise<Line> {
  const socket = await connected(question.port);
  const request = requestOf(question);
  return {
    async ask() {
      const { status, body } = await answerTo(request, socket);
      if (status !== question.status) throw new Error(`${question.path} answers ${status}: ${body}`);
      return body.toString();
    },
    close: () => void socket.destroy(),
  };
}

function connected(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => {
      socket.off('error', reject);
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

function requestOf({ method, port, path, body }: Question): string {
  const text = body === undefined ? '' : JSON.stringify(body);
  const about =
    body === undefined
      ? ''
      : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n`;
  return `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${about}\r\n${text}`;
}

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** Rejects when the connection ends before the answer does. */
function answerTo(request: string, socket: Socket): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);

    function take(part: Buffer): void {
      received = received.length === 0 ? part : Buffer.concat([received, part]);
      try {
        const answer = wholeAnswer(received);
        if (answer) settle(() => resolve(answer));
      } catch (error) {
        settle(() => reject(error));
      }
    }

    const fail = (error: Error): void => settle(() => reject(error));
    const end = (): void => fail(new Error('The connection ended before the answer'));

    function settle(how: () => void): void {
      socket.off('data', take).off('error', fail).off('close', end);
      how();
    }

    socket.on('data', take).on('error', fail).on('close', end);
    socket.write(request);
  });
}

const HEAD_END = '\r\n\r\n';

/** Undefined as long as something is missing. Throws for one that does not say how long it is. */
function wholeAnswer(received: Buffer): Answer | undefined {
  const end = received.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const head = received.toString('latin1', 0, end);
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  if (length === undefined) throw new Error(`An answer does not say how long it is: ${head}`);
  const start = end + HEAD_END.length;
  const body = received.subarray(start);
  return body.length < Number(length) ? undefined : { status: Number(head.slice(9, 12)), body };
}
