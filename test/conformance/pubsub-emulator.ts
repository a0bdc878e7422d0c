/** Google's own Pub/Sub emulator, where the gcloud CLI has it and there is a Java to run it. */
import { findEmulator as find, type Installed, PUBSUB } from './emulator.ts';

export { startEmulator } from './emulator.ts';

/** Where it is installed, or why it is not. */
export function findEmulator(): Promise<Installed | { readonly missing: string }> {
  return find(PUBSUB);
}
