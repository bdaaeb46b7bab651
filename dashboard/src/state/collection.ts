import { type Signal, signal } from "@preact/signals";
import type { Failure } from "../kube/failure.ts";
import type { Stream } from "../kube/api.ts";
import type { KubeObject } from "../kube/types.ts";
import { type Change, type Kind, type Source, watchKind } from "../kube/watch.ts";

/** Changes are shown together at most this often, so that a burst of 500 pods is 20 renders a second. */
const FLUSH_MS = 50;

export type Health = "loading" | "live" | Failure;

/** Which objects are kept where there are more: those whose time is the latest. */
export interface Bound<T> {
  limit: number;
  time(object: T): number;
}

/** All objects of a kind, by their UID, kept up to date by a watch. */
export class Collection<T extends KubeObject> {
  readonly objects: Signal<ReadonlyMap<string, T>> = signal(new Map());
  readonly health: Signal<Health> = signal<Health>("loading");
  private readonly watch: Stream;
  private pending: Change<T>[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    source: Source,
    kind: Kind,
    private readonly bound?: Bound<T>,
  ) {
    this.watch = watchKind<T>(source, kind, {
      replace: (objects) => {
        this.pending = [];
        this.set(new Map(objects.map((object) => [object.metadata.uid, slim(object)])));
      },
      apply: (change) => {
        this.pending.push(change);
        this.timer ??= setTimeout(() => this.flush(), FLUSH_MS);
      },
      health: (failure) => {
        this.health.value = failure ?? "live";
      },
    });
  }

  close(): void {
    clearTimeout(this.timer);
    this.watch.close();
  }

  private flush(): void {
    this.timer = undefined;
    const next = new Map(this.objects.value);
    for (const { uid, object } of this.pending) {
      if (object) next.set(uid, slim(object));
      else next.delete(uid);
    }
    this.pending = [];
    this.set(next);
  }

  private set(objects: Map<string, T>): void {
    const { bound } = this;
    if (bound && objects.size > bound.limit) {
      const byTime = [...objects].sort(([, a], [, b]) => bound.time(b) - bound.time(a));
      this.objects.value = new Map(byTime.slice(0, bound.limit));
    } else this.objects.value = objects;
  }
}

/** Without the list of who set which field, which is half of an object. */
function slim<T extends KubeObject>(object: T): T {
  delete object.metadata.managedFields;
  return object;
}
