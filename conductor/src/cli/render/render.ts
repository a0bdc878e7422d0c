/** Shows a run as it happens. */
import type { ConductorEvent } from '../../event.ts';
import type { Terminal } from '../terminal.ts';
import { renderJson } from './json.ts';
import { renderPlain } from './plain.ts';
import { renderTty } from './tty.ts';

export interface Renderer {
  show(event: ConductorEvent): void;
  /** Takes a live picture off the screen, for other words. */
  close(): void;
}

export function rendererFor(terminal: Terminal): Renderer {
  if (terminal.isJson) return renderJson(terminal);
  return terminal.isLive ? renderTty(terminal) : renderPlain(terminal);
}
