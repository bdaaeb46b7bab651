import { batch, type Signal, signal } from "@preact/signals";
import type { Api } from "../kube/api.ts";
import { Failure } from "../kube/failure.ts";
import type { KubeNode, Pod, Summary } from "../kube/types.ts";
import { append, readSummary, type Sample, type Series, total } from "../model/samples.ts";

/** The kubelet measures every 10 s as well. */
const INTERVAL_MS = 10_000;

/**
 * Memory and processor time, from each kubelet's summary by way of the API. This is the page's only
 * poll: a summary can't be watched. A page in the background does not ask.
 */
export class Metrics {
  readonly nodes: Signal<ReadonlyMap<string, Series>> = signal(new Map());
  /** By pod UID. */
  readonly pods: Signal<ReadonlyMap<string, Series>> = signal(new Map());
  /** All pods under the shim, and all others. */
  readonly shim: Signal<Series> = signal<Series>([]);
  readonly ordinary: Signal<Series> = signal<Series>([]);
  /** By node name. */
  readonly failures: Signal<ReadonlyMap<string, Failure>> = signal(new Map());
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  constructor(
    private readonly api: Api,
    private readonly sources: {
      nodes: () => Iterable<KubeNode>;
      pods: () => ReadonlyMap<string, Pod>;
      underShim: (pod: Pod) => boolean;
    },
  ) {
    // The first list of nodes comes a moment after the page.
    this.timer = setTimeout(() => void this.poll(), 1000);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  private async poll(): Promise<void> {
    if (!document.hidden) await this.ask();
    if (!this.closed) this.timer = setTimeout(() => void this.poll(), INTERVAL_MS);
  }

  private async ask(): Promise<void> {
    const time = Date.now();
    const failures = new Map<string, Failure>();
    const nodes = new Map<string, Sample>();
    const pods = new Map<string, Sample>();
    const askNode = async ({ metadata: { name } }: KubeNode) => {
      try {
        const path = `/api/v1/nodes/${encodeURIComponent(name)}/proxy/stats/summary`;
        const purpose = `read the kubelet's figures of ${name}`;
        const summary = await this.api.json<Summary>(`${path}?only_cpu_and_memory=true`, purpose);
        const read = readSummary(summary, time);
        nodes.set(name, read.node);
        for (const [uid, sample] of read.pods) pods.set(uid, sample);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        failures.set(name, error);
      }
    };
    // One after the other: the browser's six connections are for all of the page's requests.
    for (const node of this.sources.nodes()) await askNode(node);
    if (this.closed) return;
    batch(() => this.keep(time, nodes, pods, failures));
  }

  private keep(
    time: number,
    nodes: Map<string, Sample>,
    pods: Map<string, Sample>,
    failures: ReadonlyMap<string, Failure>,
  ): void {
    const known = this.sources.pods();
    const samples = { shim: [] as Sample[], ordinary: [] as Sample[] };
    for (const [uid, sample] of pods) {
      const pod = known.get(uid);
      if (!pod) continue;
      samples[this.sources.underShim(pod) ? "shim" : "ordinary"].push(sample);
    }
    this.failures.value = failures;
    this.nodes.value = extend(this.nodes.value, nodes);
    this.pods.value = extend(this.pods.value, pods);
    if (nodes.size > 0) {
      this.shim.value = append(this.shim.value, total(samples.shim, time));
      this.ordinary.value = append(this.ordinary.value, total(samples.ordinary, time));
    }
  }
}

/** Each series with its new sample; series that have none are gone. */
function extend(
  series: ReadonlyMap<string, Series>,
  samples: ReadonlyMap<string, Sample>,
): ReadonlyMap<string, Series> {
  return new Map([...samples].map(([key, sample]) => [key, append(series.get(key), sample)]));
}
