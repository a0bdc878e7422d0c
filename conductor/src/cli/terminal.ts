/** Where output goes: data to stdout, progress to stderr. Colours only where a person looks and has not said no. */
export interface Terminal {
  readonly isJson: boolean;
  /** Whether stderr is a screen that can be drawn on again. */
  readonly isLive: boolean;
  /** Of stderr, as it is now; of a screen that does not know its size (0 × 0), a usual one. */
  readonly columns: number;
  readonly rows: number;
  data(text: string): void;
  progress(text: string): void;
  /** A text that names commands of ours, with each as it is typed where this one was. For people, not in JSON. */
  asTyped(text: string): string;
  /** Colours for progress. */
  readonly paint: Paint;
  /** Colours for data: none in a file or a pipe. */
  readonly dataPaint: Paint;
}

export interface Paint {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
}

/** Of a stream, as much as we use: what a screen has beside is not there on a file or a pipe. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

export interface TerminalOptions {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly json: boolean;
  /** Default: the text as it is. */
  readonly asTyped?: (text: string) => string;
}

export function openTerminal({
  stdout,
  stderr,
  env,
  json,
  asTyped = (text) => text,
}: TerminalOptions): Terminal {
  const noColour = env.NO_COLOR !== undefined && env.NO_COLOR !== '';
  const isLive = stderr.isTTY === true && env.CI === undefined && env.TERM !== 'dumb' && !json;
  const paintOn = (stream: Output): Paint =>
    paintOf(stream.isTTY === true && !noColour && env.TERM !== 'dumb');
  return {
    isJson: json,
    isLive,
    get columns() {
      return stderr.columns || 100;
    },
    get rows() {
      return stderr.rows || 24;
    },
    data: (text) => void stdout.write(text.endsWith('\n') ? text : `${text}\n`),
    progress: (text) => void stderr.write(text),
    asTyped,
    paint: paintOn(stderr),
    dataPaint: paintOn(stdout),
  };
}

function paintOf(hasColours: boolean): Paint {
  const wrap = (code: number) => (text: string) => (hasColours ? `\u001b[${code}m${text}\u001b[0m` : text);
  return { bold: wrap(1), dim: wrap(2), red: wrap(31), green: wrap(32), yellow: wrap(33), cyan: wrap(36) };
}
