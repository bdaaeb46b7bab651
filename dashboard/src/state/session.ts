import { computed, type ReadonlySignal, signal } from "@preact/signals";
import { Api } from "../kube/api.ts";
import { Failure } from "../kube/failure.ts";
import type { KubeEvent, KubeNode, Pod, RuntimeClass } from "../kube/types.ts";
import { millisecondsOf } from "../model/event-time.ts";
import { formatTime } from "../model/format.ts";
import { shimClasses } from "../model/node-state.ts";
import { expiryOf } from "../model/token.ts";
import { Announcements } from "./announcements.ts";
import { Collection } from "./collection.ts";
import { Metrics } from "./metrics.ts";
import { Restaurant } from "./restaurant.ts";

const MAX_EVENTS = 500;
/** setTimeout takes no longer ones. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** All that the page knows by one token. */
export class Session {
  readonly nodes: Collection<KubeNode>;
  readonly pods: Collection<Pod>;
  readonly runtimeClasses: Collection<RuntimeClass>;
  readonly events: Collection<KubeEvent>;
  readonly metrics: Metrics;
  readonly announcements: Announcements;
  readonly restaurant: Restaurant;
  readonly api: Api;
  /** Milliseconds since 1970; nothing where the token does not say. */
  readonly expiry: number | undefined;
  private readonly shimClasses: ReadonlySignal<ReadonlySet<string>>;
  /** Sentences about what keeps all of the page from working, without repetition. */
  readonly problems: ReadonlySignal<readonly string[]>;
  /** Whether only another token helps. */
  readonly needsToken: ReadonlySignal<boolean>;
  private readonly expired = signal(false);
  private readonly timer: ReturnType<typeof setTimeout> | undefined;

  constructor(token: string) {
    this.api = new Api(token);
    this.expiry = expiryOf(token);
    this.nodes = new Collection(this.api, { path: "/api/v1/nodes", name: "nodes" });
    this.pods = new Collection(this.api, { path: "/api/v1/pods", name: "pods" });
    this.events = new Collection(
      this.api,
      { path: "/api/v1/events", name: "events" },
      { limit: MAX_EVENTS, time: millisecondsOf },
    );
    this.runtimeClasses = new Collection(this.api, {
      path: "/apis/node.k8s.io/v1/runtimeclasses",
      name: "runtime classes",
    });
    const classes = computed(() => shimClasses(this.runtimeClasses.objects.value.values()));
    this.shimClasses = classes;
    this.metrics = new Metrics(this.api, {
      nodes: () => this.nodes.objects.peek().values(),
      pods: () => this.pods.objects.peek(),
      underShim: (pod) => classes.peek().has(pod.spec?.runtimeClassName ?? ""),
    });
    this.announcements = new Announcements(this.api);
    this.restaurant = new Restaurant(this.api, this.pods.objects);
    const failures = computed(() => {
      const all = [this.nodes, this.pods, this.runtimeClasses, this.events];
      return all.map(({ health }) => health.value).filter((health) => health instanceof Failure);
    });
    this.needsToken = computed(
      () => this.expired.value || failures.value.some((failure) => failure.needsToken),
    );
    this.problems = computed(() => {
      if (this.expired.value) return [`The token expired at ${formatTime(this.expiry)}.`];
      const general = failures.value.filter((failure) => failure.isGeneral);
      return [...new Set(general.map(({ message }) => message))];
    });
    if (this.expiry !== undefined) {
      const left = Math.min(Math.max(0, this.expiry - Date.now()), MAX_TIMEOUT_MS);
      this.timer = setTimeout(() => (this.expired.value = Date.now() >= this.expiry!), left);
    }
  }

  isUnderShim(pod: Pod): boolean {
    return this.shimClasses.value.has(pod.spec?.runtimeClassName ?? "");
  }

  close(): void {
    clearTimeout(this.timer);
    for (const part of [this.nodes, this.pods, this.runtimeClasses, this.events]) part.close();
    this.metrics.close();
    this.announcements.close();
    this.restaurant.close();
  }
}
