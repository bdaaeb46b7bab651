import { type Signal, signal } from "@preact/signals";
import type { Api } from "../kube/api.ts";
import { Failure } from "../kube/failure.ts";
import type { ContainerStatus, Pod } from "../kube/types.ts";
import { ANNOUNCEMENT_BYTES, readAnnouncement, type Route } from "../model/announcement.ts";
import { logPath } from "./log.ts";

const MAX_AT_ONCE = 2;
const RETRY_MS = 5000;
const MAX_TRIES = 5;

/** `unknown`: the log's beginning does not name them, or is not there any more. */
export type Routes = readonly Route[] | "asked" | "unknown";

/**
 * The triggers and routes of apps, from the first bytes of their logs: the Kubernetes API has them
 * nowhere else. Each container is asked once after each of its starts, and only when a row shows it.
 */
export class Announcements {
  private readonly routes = new Map<string, Signal<Routes>>();
  private readonly waiting: (() => Promise<void>)[] = [];
  private atWork = 0;
  private closed = false;

  constructor(private readonly api: Api) {}

  of(pod: Pod, container: ContainerStatus): Signal<Routes> {
    // The runtime's ID is another one after each restart.
    const key = container.containerID ?? "";
    let routes = this.routes.get(key);
    if (!routes) {
      routes = signal<Routes>("asked");
      this.routes.set(key, routes);
      this.enqueue(pod, container, routes, 1);
    }
    return routes;
  }

  close(): void {
    this.closed = true;
    this.waiting.length = 0;
  }

  private enqueue(pod: Pod, container: ContainerStatus, routes: Signal<Routes>, attempt: number) {
    this.waiting.push(async () => {
      const found = await this.read(pod, container);
      if (found.length > 0) routes.value = found;
      else if (this.closed) return;
      else if (attempt < MAX_TRIES) {
        // The container runs, but has not announced them yet.
        setTimeout(() => this.enqueue(pod, container, routes, attempt + 1), RETRY_MS);
      } else routes.value = "unknown";
    });
    void this.work();
  }

  private async read(pod: Pod, { name }: ContainerStatus): Promise<Route[]> {
    const place = {
      namespace: pod.metadata.namespace ?? "default",
      pod: pod.metadata.name,
      container: name,
      previous: false,
    };
    try {
      const path = `${logPath(place)}&limitBytes=${ANNOUNCEMENT_BYTES}`;
      return readAnnouncement(await this.api.text(path, "read the log"));
    } catch (error) {
      if (error instanceof Failure) return [];
      throw error;
    }
  }

  private async work(): Promise<void> {
    if (this.atWork >= MAX_AT_ONCE) return;
    this.atWork += 1;
    for (let next = this.waiting.shift(); next; next = this.waiting.shift()) await next();
    this.atWork -= 1;
  }
}
