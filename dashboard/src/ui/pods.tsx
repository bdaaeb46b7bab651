import { batch, computed, type Signal, signal, useComputed } from "@preact/signals";
import { memo } from "preact/compat";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Pod } from "../kube/types.ts";
import { formatBytes, formatCpu, shortDigest } from "../model/format.ts";
import { podState, restarts } from "../model/pod-state.ts";
import { sortedByName } from "../model/sorted.ts";
import { openPod } from "../state/current.ts";
import type { Session } from "../state/session.ts";
import { Age, Panel, State, Table } from "./parts.tsx";
import { RouteList } from "./routes.tsx";

/** Rows that a table shows at first, and more each time its end comes into view. */
const STEP_ROWS = 60;

const filter = signal("");
const failedOnly = signal(false);
const limits = { apps: signal(STEP_ROWS), ordinary: signal(STEP_ROWS) };
const words = computed(() => filter.value.toLowerCase().split(/\s+/).filter(Boolean));

/** What matches anew begins with few rows again: typing stays smooth. */
function setFilter(set: () => void): void {
  batch(() => {
    set();
    limits.apps.value = STEP_ROWS;
    limits.ordinary.value = STEP_ROWS;
  });
}

/** Pods that run under the shim, and ordinary ones: two tables with one filter. */
export function PodsPanels({ session }: { session: Session }) {
  const all = sortedByName(session.pods.objects.value);
  const apps = all.filter((pod) => session.isUnderShim(pod));
  const ordinary = all.filter((pod) => !session.isUnderShim(pod));
  const health = session.pods.health.value;
  return (
    <>
      <search class="filter">
        <label>
          Filter pods
          <input
            type="search"
            placeholder="name, namespace, image, node, state"
            value={filter.value}
            onInput={({ currentTarget }) => setFilter(() => (filter.value = currentTarget.value))}
          />
        </label>
        <label class="inline">
          <input
            type="checkbox"
            checked={failedOnly.value}
            onChange={({ currentTarget }) =>
              setFilter(() => (failedOnly.value = currentTarget.checked))
            }
          />
          only those that have failed
        </label>
      </search>
      <Panel id="apps" title={`Spin apps (${apps.length})`} health={health}>
        <PodTable session={session} pods={apps} underShim />
      </Panel>
      <Panel id="pods" title={`Ordinary pods (${ordinary.length})`}>
        <PodTable session={session} pods={ordinary} underShim={false} />
      </Panel>
    </>
  );
}

function PodTable(props: { session: Session; pods: Pod[]; underShim: boolean }) {
  const { session, pods, underShim } = props;
  const shown = pods.filter((pod) => matches(pod, underShim));
  const label = underShim ? "Spin apps" : "Ordinary pods";
  const limit = underShim ? limits.apps : limits.ordinary;
  if (shown.length === 0) {
    return (
      <p class="quiet">{pods.length === 0 ? "There are none." : "None matches the filter."}</p>
    );
  }
  return (
    <Table
      label={label}
      columns={[
        "Pod",
        underShim ? "App and image" : "Image",
        underShim && "Triggers and routes",
        "State",
        { number: "Restarts" },
        { number: "Memory" },
        { number: "CPU" },
        { number: "Age" },
        "Node",
      ]}
      class={`pods ${underShim ? "with-routes" : ""}`}
      end={
        shown.length > limit.value && (
          <More key={limit.value} left={shown.length - limit.value} limit={limit} />
        )
      }
    >
      {shown.slice(0, limit.value).map((pod) => (
        <PodRow key={pod.metadata.uid} session={session} pod={pod} underShim={underShim} />
      ))}
    </Table>
  );
}

/** The end of a table that has more rows: shows some of them as soon as it comes into view. */
function More({ left, limit }: { left: number; limit: Signal<number> }) {
  const end = useRef<HTMLParagraphElement>(null);
  const seen = useSeen(end);
  useEffect(() => {
    if (seen) limit.value += STEP_ROWS;
  }, [seen]);
  return (
    <p class="quiet" ref={end}>
      {left} more: scroll, or filter.
    </p>
  );
}

function matches(pod: Pod, underShim: boolean): boolean {
  if (words.value.length === 0 && !failedOnly.value) return true;
  const state = podState(pod, underShim);
  if (failedOnly.value && state.level !== "failed") return false;
  const images = (pod.spec?.containers ?? []).map(({ image }) => image);
  const { name, namespace } = pod.metadata;
  const text = [name, namespace, pod.spec?.nodeName, state.title, ...images]
    .join(" ")
    .toLowerCase();
  return words.value.every((word) => text.includes(word));
}

/** Rendered anew only where its pod has changed: 500 rows stay smooth. */
const PodRow = memo(function PodRow(props: { session: Session; pod: Pod; underShim: boolean }) {
  const { session, pod, underShim } = props;
  const row = useRef<HTMLTableRowElement>(null);
  const visible = useSeen(row);
  const { name, namespace, uid } = pod.metadata;
  const statuses = pod.status?.containerStatuses ?? [];
  return (
    <tr ref={row}>
      <th scope="row">
        <button type="button" class="link" id={`pod-${uid}`} onClick={() => (openPod.value = uid)}>
          {name}
        </button>
        <span class="reason">{namespace}</span>
      </th>
      <td>
        {(pod.spec?.containers ?? []).map((container) => {
          const status = statuses.find((status) => status.name === container.name);
          return (
            <div key={container.name}>
              {container.image}
              <span class="reason">{shortDigest(status?.imageID ?? "") || "no digest yet"}</span>
            </div>
          );
        })}
      </td>
      {underShim && (
        <td>
          <RouteList session={session} pod={pod} wanted={visible} />
        </td>
      )}
      <td>
        <State state={podState(pod, underShim)} />
      </td>
      <td class="number">{restarts(pod)}</td>
      <Usage session={session} uid={uid} />
      <td class="number">
        <Age since={pod.metadata.creationTimestamp} />
      </td>
      <td>{pod.spec?.nodeName ?? "–"}</td>
    </tr>
  );
});

function Usage({ session, uid }: { session: Session; uid: string }) {
  const sample = useComputed(() => session.metrics.pods.value.get(uid)?.at(-1));
  const memory = useComputed(() => formatBytes(sample.value?.memory));
  const cpu = useComputed(() => formatCpu(sample.value?.nanoCores));
  return (
    <>
      <td class="number">{memory}</td>
      <td class="number">{cpu}</td>
    </>
  );
}

/** Whether the element has come into view once. */
function useSeen(element: { current: Element | null }): boolean {
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    if (seen || !element.current) return;
    const observer = new IntersectionObserver((entries) => {
      if (entries.some(({ isIntersecting }) => isIntersecting)) setSeen(true);
    });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [seen]);
  return seen;
}
