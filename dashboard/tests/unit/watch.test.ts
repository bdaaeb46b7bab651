import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Stream, StreamHandlers } from "../../src/kube/api.ts";
import { Failure } from "../../src/kube/failure.ts";
import type { KubeObject, List } from "../../src/kube/types.ts";
import { type Change, watchKind } from "../../src/kube/watch.ts";

const object = (uid: string, resourceVersion: string): KubeObject => ({
  metadata: { name: uid, uid, resourceVersion },
});
const event = (type: string, of: unknown) => JSON.stringify({ type, object: of });

/** Plays the API: each list takes the next answer, each stream is kept for the test to feed. */
class Played {
  asked: string[] = [];
  answers: (List<KubeObject> | Failure)[] = [];
  streams: (StreamHandlers & { path: string; closed: boolean })[] = [];
  seen: (string | Change<KubeObject>)[] = [];
  watch: Stream;

  constructor(...answers: (List<KubeObject> | Failure)[]) {
    this.answers = answers;
    this.watch = watchKind<KubeObject>(
      this,
      { path: "/api/v1/pods", name: "pods" },
      {
        replace: (objects) => this.seen.push(`all: ${objects.map((o) => o.metadata.uid)}`),
        apply: (change) => this.seen.push(change),
        health: (failure) => this.seen.push(failure ? `failed: ${failure.message}` : "live"),
      },
    );
  }

  async json<T>(path: string): Promise<T> {
    this.asked.push(path);
    const answer = this.answers.shift();
    if (!answer) throw new Error(`no answer is left for ${path}`);
    if (answer instanceof Failure) throw answer;
    return answer as T;
  }

  stream(path: string, handlers: StreamHandlers): Stream {
    const stream = { ...handlers, path, closed: false };
    this.streams.push(stream);
    return { close: () => (stream.closed = true) };
  }

  get last() {
    return this.streams.at(-1)!;
  }
}

const list = (version: string, ...items: KubeObject[]): List<KubeObject> => ({
  metadata: { resourceVersion: version },
  items,
});
const settle = () => vi.advanceTimersByTimeAsync(0);

describe("the watch of a kind", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("follows the list from its resource version on", async () => {
    const played = new Played(list("10", object("a", "5")));
    await settle();
    expect(played.seen).toEqual(["all: a", "live"]);
    expect(played.last.path).toContain("resourceVersion=10");
    expect(played.last.path).toContain("allowWatchBookmarks=true");
    played.last.onText(event("ADDED", object("b", "11")));
    played.last.onText(event("DELETED", object("a", "12")));
    expect(played.seen.slice(2)).toEqual([
      { uid: "b", object: object("b", "11") },
      { uid: "a", object: undefined },
    ]);
  });

  it("reads a long list in pages", async () => {
    const first = {
      metadata: { resourceVersion: "7", continue: "x/y" },
      items: [object("a", "1")],
    };
    const played = new Played(first, list("7", object("b", "2")));
    await settle();
    expect(played.asked[1]).toBe("/api/v1/pods?limit=500&continue=x%2Fy");
    expect(played.seen).toEqual(["all: a,b", "live"]);
  });

  it("goes on from the last bookmark where the stream ends", async () => {
    const played = new Played(list("10"));
    await settle();
    played.last.onText(event("BOOKMARK", object("", "90")));
    played.last.onEnd(true);
    expect(played.streams).toHaveLength(2);
    expect(played.last.path).toContain("resourceVersion=90");
    expect(played.asked).toHaveLength(1);
  });

  it("lists anew where the version is too old", async () => {
    const played = new Played(list("10", object("a", "1")), list("500", object("b", "499")));
    await settle();
    played.last.onText(event("ERROR", { kind: "Status", code: 410, reason: "Expired" }));
    expect(played.streams[0]!.closed).toBe(true);
    await vi.advanceTimersByTimeAsync(1000);
    expect(played.seen).toEqual(["all: a", "live", "all: b", "live"]);
    expect(played.last.path).toContain("resourceVersion=500");
  });

  it("lists anew where a stream is not accepted, which tells why", async () => {
    const forbidden = new Failure("forbidden", "The token's account may not list pods.");
    const played = new Played(list("10"), forbidden);
    await settle();
    played.last.onEnd(false);
    await vi.advanceTimersByTimeAsync(1000);
    expect(played.seen.at(-1)).toBe("failed: The token's account may not list pods.");
  });

  it("tries again after pauses that double up to 30 s", async () => {
    const away = () => new Failure("api-away", "away");
    const played = new Played(...Array.from({ length: 20 }, away));
    const times: number[] = [];
    for (let second = 0; second < 200; second++) {
      await vi.advanceTimersByTimeAsync(1000);
      while (times.length < played.asked.length) times.push(second);
    }
    const pauses = times.slice(1).map((time, index) => time - times[index]!);
    expect(pauses[0]).toBeLessThanOrEqual(1);
    expect(pauses.at(-1)).toBeGreaterThanOrEqual(22);
    expect(pauses.at(-1)).toBeLessThanOrEqual(31);
    expect(played.asked.length).toBeLessThan(15);
  });

  it("recovers when the API is back", async () => {
    const played = new Played(new Failure("api-away", "away"), list("3", object("a", "2")));
    await settle();
    await vi.advanceTimersByTimeAsync(1000);
    expect(played.seen).toEqual(["failed: away", "all: a", "live"]);
  });

  it("stops where the token is not accepted", async () => {
    const played = new Played(new Failure("unauthorized", "no"));
    await vi.advanceTimersByTimeAsync(100_000);
    expect(played.asked).toHaveLength(1);
  });

  it("does nothing more once it is closed", async () => {
    const played = new Played(list("10"));
    await settle();
    const { seen, last } = played;
    played.watch.close();
    expect(last.closed).toBe(true);
    const before = seen.length;
    last.onEnd(true);
    await vi.advanceTimersByTimeAsync(100_000);
    expect([seen.length, played.streams.length]).toEqual([before, 1]);
  });

  it.each(["{", "null", '{"type":"ADDED"}', '{"type":"ADDED","object":{}}'])(
    "takes %s for no event and lists anew",
    async (text) => {
      const played = new Played(list("10"), list("20"));
      await settle();
      played.last.onText(text);
      await vi.advanceTimersByTimeAsync(1000);
      expect(played.asked).toHaveLength(2);
    },
  );
});
