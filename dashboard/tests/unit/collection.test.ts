import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Stream, StreamHandlers } from "../../src/kube/api.ts";
import type { KubeEvent } from "../../src/kube/types.ts";
import { millisecondsOf } from "../../src/model/event-time.ts";
import { Collection } from "../../src/state/collection.ts";

const at = (name: string, minute: number): KubeEvent => ({
  metadata: { name, uid: name, managedFields: [] },
  lastTimestamp: `2026-11-30T12:${String(minute).padStart(2, "0")}:00Z`,
});

describe("a collection", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  let handlers: StreamHandlers;
  const collect = (items: KubeEvent[], limit: number) =>
    new Collection<KubeEvent>(
      {
        json: async <T>() => ({ metadata: { resourceVersion: "1" }, items }) as T,
        stream(_path: string, given: StreamHandlers): Stream {
          handlers = given;
          return { close() {} };
        },
      },
      { path: "/api/v1/events", name: "events" },
      { limit, time: millisecondsOf },
    );
  const come = (object: KubeEvent, type = "ADDED") =>
    handlers.onText(JSON.stringify({ type, object }));
  const names = (of: Collection<KubeEvent>) => [...of.objects.value.keys()].sort();

  it("keeps those with the latest times, whatever their order in the list", async () => {
    const events = collect([at("new", 9), at("old", 1), at("newer", 10)], 2);
    await vi.advanceTimersByTimeAsync(0);
    expect(names(events)).toEqual(["new", "newer"]);
    come(at("newest", 11));
    await vi.advanceTimersByTimeAsync(100);
    expect(names(events)).toEqual(["newer", "newest"]);
  });

  it("shows changes that come together at once, and without who set which field", async () => {
    const events = collect([at("a", 1)], 10);
    await vi.advanceTimersByTimeAsync(0);
    let shown = 0;
    events.objects.subscribe(() => (shown += 1));
    come(at("b", 2));
    come(at("c", 3));
    come(at("a", 1), "DELETED");
    await vi.advanceTimersByTimeAsync(100);
    expect([names(events), shown]).toEqual([["b", "c"], 2]);
    expect(events.objects.value.get("b")?.metadata).not.toHaveProperty("managedFields");
  });
});
