/**
 * Calls to addresses that others name: only to the public internet, and to the very address that was checked.
 *
 * A host may have another address each time that one asks. So it is looked up once, all its addresses are judged, and the
 * connection is made to one of these. Nobody is followed elsewhere: a redirect is an answer like any other.
 */
import { lookup as systemLookup } from 'node:dns/promises';
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as overHttp,
  type RequestOptions,
} from 'node:http';
import { request as overHttps } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';

export interface AddressRules {
  /** Whether hosts on loopback, private and link-local networks may be asked: only where somebody set them up. */
  readonly allowPrivate: boolean;
  /** How names are looked up; by default as the system does. */
  readonly lookup?: ((host: string) => Promise<readonly Address[]>) | undefined;
}

export interface Address {
  readonly address: string;
  readonly family: number;
}

/** An address that is not asked. The message names the host, and is fit for whoever named it. */
export class AddressRefused extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'AddressRefused';
  }
}

export interface Question extends AddressRules {
  readonly method?: 'GET' | 'POST' | 'PUT';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Of the answer; a longer one rejects. */
  readonly mostBytes: number;
  /** From when the name is looked up to the last byte of the answer. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

const NOT_PUBLIC_V4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const;

/** Within what is handed out as public: tunnels that lead to an IPv4 address, and what is for documents only. */
const NOT_PUBLIC_V6 = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const;

const notPublic = new BlockList();
for (const [net, bits] of NOT_PUBLIC_V4) notPublic.addSubnet(net, bits, 'ipv4');
for (const [net, bits] of NOT_PUBLIC_V6) notPublic.addSubnet(net, bits, 'ipv6');
/** All that is handed out to the public stands in here. Loopback, link-local, unique local and IPv4-mapped addresses do not. */
const globalUnicast = new BlockList();
globalUnicast.addSubnet('2000::', 3, 'ipv6');

/** Whether an IPv4 or IPv6 address is of the public internet. False for what is no address. */
export function isPublic(address: string): boolean {
  // An address of one network card only (fe80::1%eth0) is never public.
  switch (address.includes('%') ? 0 : isIP(address)) {
    case 4:
      return !notPublic.check(address, 'ipv4');
    case 6:
      return globalUnicast.check(address, 'ipv6') && !notPublic.check(address, 'ipv6');
    default:
      return false;
  }
}

/**
 * The addresses of the URL's host, all of which may be asked. Throws AddressRefused for a URL that is no http or https,
 * that carries a password, or whose host has any address that is not public.
 */
export async function demandPublic(url: string | URL, rules: AddressRules): Promise<readonly Address[]> {
  const parsed = URL.parse(String(url));
  if (!parsed || !/^https?:$/.test(parsed.protocol))
    throw new AddressRefused('Only URLs that begin with http:// or https:// can be called');
  if (parsed.username !== '' || parsed.password !== '')
    throw new AddressRefused(`The URL of ${parsed.hostname} carries a name or a password`);
  return demandPublicHost(parsed.hostname, rules);
}

/** The same for a host by itself. */
export async function demandPublicHost(
  host: string,
  { allowPrivate, lookup = lookUpAll }: AddressRules,
): Promise<readonly Address[]> {
  const name = host.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  if (!allowPrivate && isPrivateName(name)) throw notAllowed(name);
  const family = isIP(name);
  const addresses = family === 0 ? await lookup(name) : [{ address: name, family }];
  if (addresses.length === 0) throw new AddressRefused(`${name} has no address`);
  if (!allowPrivate && !addresses.every(({ address }) => isPublic(address))) throw notAllowed(name);
  return addresses;
}

/** Asks, and resolves with whatever is answered, redirects too. Throws AddressRefused, and what the network throws. */
export async function ask(url: string | URL, question: Question): Promise<Answer> {
  const { method = 'GET', headers = {}, body, mostBytes, timeoutMs } = question;
  const signal = AbortSignal.any([
    AbortSignal.timeout(timeoutMs),
    ...(question.signal ? [question.signal] : []),
  ]);
  const message = await beginToAsk(url, { method, headers, body, signal }, question);
  try {
    const read = await readUpTo(message, mostBytes, new URL(url).hostname);
    return { status: message.statusCode ?? 0, headers: message.headers, body: read };
  } catch (error) {
    // An answer that is broken off fails with an AbortError, whatever the signal's reason was.
    throw signal.aborted ? signal.reason : error;
  }
}

export interface Asked {
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer | undefined;
  /** Ends the lookup, the connection, and the answer that comes over it. */
  readonly signal: AbortSignal;
}

/**
 * Resolves with the answer once its headers are there; its body is for the caller to read, or to let go. Throws
 * AddressRefused, the signal's reason, and what the network throws.
 */
export async function beginToAsk(
  url: string | URL,
  { method, headers, body, signal }: Asked,
  rules: AddressRules,
): Promise<IncomingMessage> {
  const addresses = await unlessAborted(demandPublic(url, rules), signal);
  const parsed = new URL(url);
  const options: RequestOptions = {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }) },
    lookup: lookupOf(addresses),
    signal,
    // A connection that was made before might lead to another address.
    agent: false,
  };
  return await new Promise((resolve, reject) => {
    const request = parsed.protocol === 'https:' ? overHttps : overHttp;
    const asked = request(parsed, options, resolve);
    // An aborted request fails with an AbortError, whatever the signal's reason was.
    asked.on('error', (error) => reject(signal.aborted ? signal.reason : error));
    asked.end(body);
  });
}

/** Looking up a name cannot be aborted, and may take longer than anybody wants to wait. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop);
  try {
    return await Promise.race([promise, work]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

async function readUpTo(response: AsyncIterable<Buffer>, mostBytes: number, host: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += chunk.length;
    // Leaving the loop ends the connection.
    if (bytes > mostBytes) throw new Error(`${host} answers with more than ${mostBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Names that are private by what they are, even where nobody can look them up. */
function isPrivateName(name: string): boolean {
  return /^(localhost|metadata)$|\.(localhost|internal|local|home\.arpa)$/i.test(name);
}

function notAllowed(name: string): AddressRefused {
  return new AddressRefused(`${name} is not on the public internet, and is not asked`);
}

async function lookUpAll(host: string): Promise<readonly Address[]> {
  return systemLookup(host, { all: true });
}

/** What stands for the system's lookup while a connection is made: the addresses that were checked, and no others. */
function lookupOf(addresses: readonly Address[]): LookupFunction {
  return (_host, options, done) => {
    const [first] = addresses;
    if (options.all) done(null, [...addresses]);
    else done(null, first?.address ?? '', first?.family);
  };
}
