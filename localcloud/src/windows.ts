/**
 * Room for requests in flight over HTTP/2.
 *
 * By default a peer must stop after 64 KB, over all its calls together, until it is told to go on: a pause within every
 * larger publish. grpc-js has no option for that, and hides its sessions; Node tells of each stream through a channel.
 */
import { subscribe } from 'node:diagnostics_channel';
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';

const PER_STREAM = 4 * 1024 * 1024;
const PER_SESSION = 8 * 1024 * 1024;

let subscribed = false;

/** Widens the window of every HTTP/2 connection that this process serves from now on, at its first call. */
export function widenWindows(): void {
  if (subscribed) return;
  subscribed = true;
  const widened = new WeakSet<ServerHttp2Session>();
  subscribe('http2.server.stream.created', (message) => {
    const { session } = (message as { readonly stream: ServerHttp2Stream }).stream;
    if (!isServerSession(session) || widened.has(session)) return;
    widened.add(session);
    session.setLocalWindowSize(PER_SESSION);
    session.settings({ initialWindowSize: PER_STREAM });
  });
}

function isServerSession(session: ServerHttp2Stream['session']): session is ServerHttp2Session {
  return session !== undefined && !session.destroyed;
}
