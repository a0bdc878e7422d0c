/** Shows everything that is wrong with an architecture. */
import { EXIT, Failure } from '../failure.ts';
import type { InvalidArchitecture } from '../load.ts';
import { diagnosticText } from './render/words.ts';
import type { Terminal } from './terminal.ts';

/** Prints them, and gives the failure to end with. */
export function showDiagnostics({ diagnostics, message }: InvalidArchitecture, terminal: Terminal): Failure {
  if (terminal.isJson) {
    for (const diagnostic of diagnostics) terminal.data(JSON.stringify({ type: 'diagnostic', diagnostic }));
  } else {
    for (const diagnostic of diagnostics) {
      const [head = '', ...rest] = diagnosticText(diagnostic, terminal).split('\n');
      const paint = diagnostic.severity === 'error' ? terminal.paint.red : terminal.paint.yellow;
      terminal.progress(`${[paint(head), ...rest].join('\n')}\n`);
    }
  }
  return new Failure(message, { exitCode: EXIT.invalidArchitecture });
}
