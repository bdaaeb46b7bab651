import { effect, type Signal, signal } from "@preact/signals";
import type { Api } from "../kube/api.ts";
import { Failure } from "../kube/failure.ts";
import type { Pod } from "../kube/types.ts";
import { type Dish, noteOrder, type Order, orderOfLine, type SeenOrder } from "../model/orders.ts";
import { Log } from "./log.ts";

/** More kitchens than these are not listened to. */
const MAX_KITCHENS = 4;
const LISTEN_AGAIN_MS = 2000;

/**
 * The restaurant's menu and orders, over the API's proxy for Services. Orders can't be watched, but
 * the kitchen logs each change: a line of its log is the sign to ask for that order's state.
 */
export class Restaurant {
  readonly menu: Signal<readonly Dish[]> = signal([]);
  readonly orders: Signal<readonly SeenOrder[]> = signal([]);
  /** Where the restaurant's pods are; `undefined` while there are none. */
  readonly namespace = signal<string | undefined>(undefined);
  readonly failure = signal<Failure | undefined>(undefined);
  private readonly kitchens = new Map<string, Log>();
  private readonly endFollowing: () => void;

  constructor(
    private readonly api: Api,
    private readonly pods: Signal<ReadonlyMap<string, Pod>>,
  ) {
    this.endFollowing = effect(() => this.follow([...pods.value.values()]));
  }

  close(): void {
    this.endFollowing();
    for (const log of this.kitchens.values()) log.close();
    // What is gone from here is not listened to again.
    this.kitchens.clear();
  }

  async place(dish: string): Promise<Order> {
    const path = `/order/${encodeURIComponent(dish)}`;
    const order = await this.ask<Order>(path, "place the order", { method: "POST" });
    this.note(order);
    // The kitchen may have been faster than this answer.
    void this.refresh(order);
    return order;
  }

  private follow(pods: Pod[]): void {
    const app = (name: string) =>
      pods.filter(
        ({ metadata, status }) =>
          metadata.labels?.app === name && status?.containerStatuses?.some(({ ready }) => ready),
      );
    const namespace = app("restaurant")[0]?.metadata.namespace;
    if (namespace !== this.namespace.peek()) {
      this.namespace.value = namespace;
      if (namespace) void this.load();
    }
    const kitchens = app("kitchen")
      .filter(({ metadata }) => metadata.namespace === namespace)
      .slice(0, MAX_KITCHENS);
    const wanted = new Map(kitchens.map((pod) => [keyOf(pod), pod]));
    for (const [key, log] of this.kitchens) {
      if (wanted.has(key)) continue;
      log.close();
      this.kitchens.delete(key);
    }
    for (const [key, pod] of wanted) {
      if (!this.kitchens.has(key)) this.kitchens.set(key, this.listen(key, pod));
    }
  }

  private listen(key: string, { metadata, status }: Pod): Log {
    const place = {
      namespace: metadata.namespace!,
      pod: metadata.name,
      container: status!.containerStatuses![0]!.name,
      previous: false,
    };
    const log: Log = new Log(this.api, place, {
      tailLines: 0,
      onLine: (line) => {
        const order = orderOfLine(line, this.menu.peek());
        if (order) void this.refresh(order);
      },
      // The kitchen's pod lives on where only the stream has ended.
      onEnd: () => {
        setTimeout(() => this.listenAgain(key, log), LISTEN_AGAIN_MS);
      },
    });
    return log;
  }

  private listenAgain(key: string, log: Log): void {
    if (this.kitchens.get(key) !== log) return;
    this.kitchens.delete(key);
    this.follow([...this.pods.peek().values()]);
    void this.load();
  }

  private async load(): Promise<void> {
    try {
      this.menu.value = await this.ask<Dish[]>("/menu", "read the menu");
      for (const dish of this.menu.value) await this.refresh(dish);
    } catch (error) {
      this.failed(error);
    }
  }

  private async refresh({ name, id }: Pick<Order, "name" | "id">): Promise<void> {
    const path = `/order/${encodeURIComponent(name)}${id === undefined ? "" : `/${id}`}`;
    try {
      this.note(await this.ask<Order>(path, "read the order"));
    } catch (error) {
      // 404: nobody has ordered this dish.
      if (!(error instanceof Failure && error.status === 404)) this.failed(error);
    }
  }

  private note(order: Order): void {
    this.failure.value = undefined;
    this.orders.value = noteOrder(this.orders.peek(), order, Date.now());
  }

  private failed(error: unknown): void {
    if (!(error instanceof Failure)) throw error;
    this.failure.value = error;
  }

  private ask<T>(path: string, purpose: string, init?: RequestInit): Promise<T> {
    const namespace = encodeURIComponent(this.namespace.peek() ?? "default");
    const service = `/api/v1/namespaces/${namespace}/services/restaurant:http/proxy`;
    return this.api.json<T>(service + path, purpose, init);
  }
}

/** Another one after each restart of the container: its log ends with it. */
function keyOf({ metadata, status }: Pod): string {
  return `${metadata.uid}/${status?.containerStatuses?.[0]?.containerID ?? ""}`;
}
