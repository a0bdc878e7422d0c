/** Lines of a deployment's journal in words. */
import type { DeploymentDetail } from '@service-director/shared/contract/state.ts';
import type { Paint } from '../terminal.ts';
import { inSeconds, paintResult, paintStatus } from './words.ts';

export type JournalLine = DeploymentDetail['events'][number];

export function journalText(line: JournalLine, paint: Paint): string {
  return `${paint.dim(line.at)} ${wordsOf(line, paint).replace(/\s*\n\s*/g, ' ')}`;
}

function wordsOf(line: JournalLine, paint: Paint): string {
  const { at: _, stack: __, sequence: ___, type, unit = '', ...more } = line;
  const because = more.because === undefined ? '' : `: ${more.because}`;
  switch (type) {
    case 'status':
      return paintStatus(String(more.status), paint);
    case 'intend':
      return `${unit} ${more.action}`;
    case 'waiting':
      return `${unit} ${paint.yellow('waiting')}${because}`;
    case 'log': {
      const level = more.level === 'info' ? '' : ` ${paint.yellow(String(more.level))}:`;
      return `${unit}${level} ${more.message}`;
    }
    case 'finish': {
      const took = paint.dim(`(${inSeconds(Number(more.seconds ?? 0))})`);
      return `${unit} ${paintResult(String(more.result), paint)} ${took}${because}`;
    }
    default:
      // What a newer director writes.
      return [type, unit, JSON.stringify(more)].filter(Boolean).join(' ');
  }
}
