import { type Signal, signal } from "@preact/signals";
import type { Api, Stream } from "../kube/api.ts";
import { Failure } from "../kube/failure.ts";

const TAIL_LINES = 500;
const MAX_LINES = 2000;
const MAX_LINE_CHARS = 4000;
const FLUSH_MS = 100;

export interface LogPlace {
  namespace: string;
  pod: string;
  container: string;
  /** The log of the container before its last restart. */
  previous: boolean;
}

export interface LogLine {
  /** Counts up, so that each line keeps its element. */
  number: number;
  text: string;
}

export interface LogOptions {
  /** How many of the lines before now. */
  tailLines?: number;
  onLine?(line: string): void;
  onEnd?(): void;
}

export function logPath({ namespace, pod, container, previous }: LogPlace): string {
  const place = `namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}/log`;
  return `/api/v1/${place}?container=${encodeURIComponent(container)}&previous=${previous}`;
}

/** A container's log: its last lines, and those that come. */
export class Log {
  readonly lines: Signal<readonly LogLine[]> = signal([]);
  /** A sentence about why no more lines come, empty while they do. */
  readonly note = signal("");
  private readonly stream: Stream;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private fresh: string[] = [];
  private rest = "";
  private count = 0;
  private closed = false;

  constructor(
    private readonly api: Api,
    private readonly place: LogPlace,
    private readonly options: LogOptions = {},
  ) {
    const tailLines = options.tailLines ?? TAIL_LINES;
    const path = `${logPath(place)}&tailLines=${tailLines}&follow=${!place.previous}`;
    this.stream = api.stream(path, {
      onText: (text) => this.read(text),
      onEnd: (opened) => void this.end(opened),
    });
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.stream.close();
  }

  private read(text: string): void {
    const lines = (this.rest + text).split("\n");
    // A line without an end is kept for the next text, within the limit.
    this.rest = lines.pop()!.slice(0, MAX_LINE_CHARS);
    for (const line of lines) {
      this.fresh.push(line.slice(0, MAX_LINE_CHARS));
      this.options.onLine?.(line);
    }
    if (this.fresh.length > MAX_LINES) this.fresh = this.fresh.slice(-MAX_LINES);
    this.timer ??= setTimeout(() => this.flush(), FLUSH_MS);
  }

  private flush(): void {
    this.timer = undefined;
    const fresh = this.fresh.map((text) => ({ number: this.count++, text }));
    this.fresh = [];
    this.lines.value = [...this.lines.value, ...fresh].slice(-MAX_LINES);
  }

  private async end(opened: boolean): Promise<void> {
    if (this.rest) this.read("\n");
    if (this.place.previous) this.note.value = "The log of the container before its last restart.";
    else this.note.value = "The container has ended; its log has no more lines.";
    this.options.onEnd?.();
    if (opened) return;
    try {
      // A stream that was not accepted tells no reason in a browser; a request does.
      await this.api.text(`${logPath(this.place)}&tailLines=1`, "read the log");
      if (!this.closed) this.note.value = "The log could not be followed.";
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (!this.closed) this.note.value = error.message;
    }
  }
}
