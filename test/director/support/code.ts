/** Code of a module, brought to a director as its users bring it. */
import { pack } from '@service-director/director/bundles/bundle.ts';
import { expect } from 'vitest';

/** Sends it as the `main.tf` of a bundle; resolves with the digest by which it is asked for. */
export async function bring({ url }: { readonly url: string }, code: string): Promise<string> {
  const bundle = await pack([{ path: 'main.tf', content: Buffer.from(code) }]);
  const response = await fetch(`${url}/v1/bundles`, { method: 'POST', body: new Uint8Array(bundle) });
  expect(response.status).toBe(201);
  const { digest }: { digest: string } = JSON.parse(await response.text());
  return digest;
}
