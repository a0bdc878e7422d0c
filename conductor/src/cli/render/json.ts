/** JSON lines on stdout: every event, one object a line. */
import type { Terminal } from '../terminal.ts';
import type { Renderer } from './render.ts';

export function renderJson(terminal: Terminal): Renderer {
  return {
    show: (event) => terminal.data(JSON.stringify(event)),
    close: () => {},
  };
}
