/** Calls Google's APIs over plain HTTP, as the service account that this service runs as. */
const {
  PROJECT_ID,
  GCE_METADATA_HOST = 'metadata.google.internal',
  SERVICE_DIRECTOR_CLOUD_ENDPOINT: localCloud,
} = process.env;

export const PUBSUB = `${localCloud ?? 'https://pubsub.googleapis.com'}/v1/projects/${PROJECT_ID}`;
export const STORAGE = localCloud ?? 'https://storage.googleapis.com';

const TOKEN_URL = `http://${GCE_METADATA_HOST}/computeMetadata/v1/instance/service-accounts/default/token`;

/** Posts an object as JSON, or bytes as they are. Resolves with the JSON of the answer. */
export async function post(url, body, signal = AbortSignal.timeout(30_000)) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${await accessToken()}`, 'content-type': 'application/json' },
    body: Buffer.isBuffer(body) ? body : JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return response.json();
}

/** The metadata server keeps tokens until shortly before they expire: no need to keep them here as well. */
async function accessToken() {
  const response = await fetch(TOKEN_URL, { headers: { 'metadata-flavor': 'Google' } });
  if (!response.ok) throw new Error(`The metadata server answered ${response.status}`);
  return (await response.json()).access_token;
}
