import { Failure } from "./failure.ts";
import type { Stream, StreamHandlers } from "./api.ts";
import type { KubeObject, List, Status, WatchEvent } from "./types.ts";

const PAGE_ITEMS = 500;
const MIN_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 30_000;
/** The API ends a watch after 30 to 60 minutes of its own accord; this only shortens it. */
const WATCH_SECONDS = 1800;

/** What a watch needs of the API. */
export interface Source {
  json<T>(path: string, purpose: string): Promise<T>;
  stream(path: string, handlers: StreamHandlers): Stream;
}

export type Change<T> = { uid: string; object: T | undefined };

export interface Sink<T> {
  /** The whole list: everything else is gone. */
  replace(objects: T[]): void;
  apply(change: Change<T>): void;
  /** `undefined`: the list is there and followed. */
  health(failure: Failure | undefined): void;
}

export interface Kind {
  /** For example /api/v1/pods. */
  path: string;
  /** In the plural, for sentences. */
  name: string;
}

/**
 * Lists a kind and follows it by a watch: from the list's resource version on, with bookmarks, on
 * from the last version seen where the stream ends, and with a new list where that version is too
 * old (410) or the stream was not accepted.
 *
 * Failures are told to the sink and retried after a pause that doubles up to 30 s; with a token
 * that is not accepted it stops, because only another one helps.
 */
export function watchKind<T extends KubeObject>(source: Source, kind: Kind, sink: Sink<T>): Stream {
  let stopped = false;
  let stream: Stream | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let version = "";
  let failures = 0;

  const later = (next: () => void) => {
    // Without the random part, all kinds would come back in the same moment.
    const pause = Math.min(MIN_BACKOFF_MS * 2 ** failures, MAX_BACKOFF_MS);
    failures += 1;
    timer = setTimeout(next, pause * (0.75 + Math.random() / 4));
  };

  async function list(): Promise<void> {
    try {
      const objects: T[] = [];
      let page = "";
      do {
        const from = page ? `&continue=${encodeURIComponent(page)}` : "";
        const path = `${kind.path}?limit=${PAGE_ITEMS}${from}`;
        const answer = await source.json<List<T>>(path, `list ${kind.name}`);
        if (stopped) return;
        objects.push(...(answer.items ?? []));
        version = answer.metadata?.resourceVersion ?? "";
        page = answer.metadata?.continue ?? "";
      } while (page);
      sink.replace(objects);
      sink.health(undefined);
      follow();
    } catch (error) {
      if (stopped) return;
      if (!(error instanceof Failure)) throw error;
      sink.health(error);
      if (!error.needsToken) later(list);
    }
  }

  function follow(): void {
    const path =
      `${kind.path}?watch=1&allowWatchBookmarks=true&timeoutSeconds=${WATCH_SECONDS}` +
      `&resourceVersion=${encodeURIComponent(version)}`;
    let seen = false;
    let outdated = false;
    stream = source.stream(path, {
      onText(text) {
        const event = readEvent<T>(text);
        if (!event || event.type === "ERROR") {
          outdated = true;
          stream?.close();
          later(list);
          return;
        }
        seen = true;
        failures = 0;
        const object = event.object as T;
        version = object.metadata.resourceVersion ?? version;
        if (event.type === "BOOKMARK") return;
        const gone = event.type === "DELETED";
        sink.apply({ uid: object.metadata.uid, object: gone ? undefined : object });
      },
      onEnd(opened) {
        if (stopped || outdated) return;
        // A stream that was not accepted tells no reason in a browser; a list does.
        if (!opened) later(list);
        else if (seen) follow();
        else later(follow);
      },
    });
  }

  void list();
  return {
    close() {
      stopped = true;
      clearTimeout(timer);
      stream?.close();
    },
  };
}

function readEvent<T>(text: string): WatchEvent<T> | undefined {
  try {
    const event = JSON.parse(text) as WatchEvent<T>;
    const isObject = event.object !== null && typeof event.object === "object";
    return isObject && (event.type === "ERROR" || hasMetadata(event.object)) ? event : undefined;
  } catch {
    return undefined;
  }
}

function hasMetadata(object: unknown | Status): boolean {
  return typeof (object as Partial<KubeObject>).metadata === "object";
}
