/** What a director knows of its own address: what tokens are meant for, or where somebody whose token fitted has called it. */

export interface OwnUrlOptions {
  readonly access: 'verified' | 'loopback';
  readonly audience: string | undefined;
  /** Where the cloud is, if not at Google: that one is called without TLS. */
  readonly endpoint: string | undefined;
}

/** A request, as far as it matters here. */
interface Called {
  get(header: 'host'): string | undefined;
}

/** Of a request that was let in. Undefined where nothing that it says of our address is proved. */
export function ownUrl({ access, audience, endpoint }: OwnUrlOptions, request: Called): string | undefined {
  const host = request.get('host');
  if (access === 'loopback') return host && `http://${host}`;
  if (audience === undefined) return host && `${endpoint === undefined ? 'https' : 'http'}://${host}`;
  // An audience may be any word.
  const url = URL.canParse(audience) ? new URL(audience) : undefined;
  return url && /^https?:$/.test(url.protocol)
    ? `${url.origin}${url.pathname.replace(/\/+$/, '')}`
    : undefined;
}
