import { useEffect, useRef } from "preact/hooks";
import type { ContainerStatus, Pod } from "../kube/types.ts";
import { describeExit } from "../model/exit.ts";
import { formatBytes, formatCpu, shortDigest } from "../model/format.ts";
import { podState, restarts } from "../model/pod-state.ts";
import { openPod } from "../state/current.ts";
import type { Session } from "../state/session.ts";
import { EventTable } from "./events.tsx";
import { LogView } from "./log-view.tsx";
import { Age, State } from "./parts.tsx";
import { Plot } from "./plot.tsx";
import { RouteList } from "./routes.tsx";
import { cpuOf, memoryOf } from "./usage.tsx";

/** All about the pod that was chosen, beside the page. */
export function Detail({ session }: { session: Session }) {
  const uid = openPod.value;
  const last = useRef<Pod | undefined>(undefined);
  const found = uid ? session.pods.objects.value.get(uid) : undefined;
  if (found) last.current = found;
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), [uid]);
  const close = () => {
    openPod.value = undefined;
    document.getElementById(`pod-${uid}`)?.focus();
  };
  const pod = last.current;
  if (!uid || pod?.metadata.uid !== uid) return null;
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") close();
  };
  return (
    <aside class="detail" aria-labelledby="detail-title" onKeyDown={onKeyDown}>
      <header>
        <h2 id="detail-title" tabIndex={-1} ref={heading}>
          {pod.metadata.name}
        </h2>
        <button type="button" onClick={close}>
          Close
        </button>
      </header>
      {!found && (
        <p class="problem" role="status">
          This pod is gone. These are its last data.
        </p>
      )}
      <Facts session={session} pod={pod} />
      <Containers session={session} pod={pod} />
      <Figures session={session} uid={uid} />
      <LogView key={uid} session={session} pod={pod} />
      <section aria-labelledby="pod-events-title">
        <h3 id="pod-events-title">Events of the pod</h3>
        <EventTable label="Events of the pod" events={eventsOf(session, uid)} ofOne />
      </section>
    </aside>
  );
}

const eventsOf = (session: Session, uid: string) =>
  [...session.events.objects.value.values()].filter(
    ({ involvedObject }) => involvedObject?.uid === uid,
  );

function Facts({ session, pod }: { session: Session; pod: Pod }) {
  const underShim = session.isUnderShim(pod);
  const runtimeClass = pod.spec?.runtimeClassName;
  return (
    <dl>
      <dt>State</dt>
      <dd>
        <State state={podState(pod, underShim)} />
      </dd>
      <dt>Namespace</dt>
      <dd>{pod.metadata.namespace}</dd>
      <dt>Node</dt>
      <dd>{pod.spec?.nodeName ?? "none yet"}</dd>
      <dt>RuntimeClass</dt>
      <dd>
        {runtimeClass ?? "none"}
        {underShim && ", under the Spin shim"}
      </dd>
      <dt>Restarts</dt>
      <dd>{restarts(pod)}</dd>
      <dt>Age</dt>
      <dd>
        <Age since={pod.metadata.creationTimestamp} />
      </dd>
      {underShim && <dt>Triggers and routes</dt>}
      {underShim && (
        <dd>
          <RouteList session={session} pod={pod} wanted />
        </dd>
      )}
    </dl>
  );
}

function Containers({ session, pod }: { session: Session; pod: Pod }) {
  const statuses = [
    ...(pod.status?.initContainerStatuses ?? []),
    ...(pod.status?.containerStatuses ?? []),
  ];
  const underShim = session.isUnderShim(pod);
  return (
    <ul class="containers" aria-label="Containers">
      {statuses.map((status) => (
        <li key={status.name}>
          <b>{status.name}</b> {status.image}{" "}
          <span class="reason">{shortDigest(status.imageID)}</span>
          <span class="reason">{lastEnd(status, underShim)}</span>
        </li>
      ))}
    </ul>
  );
}

function lastEnd({ lastState }: ContainerStatus, underShim: boolean): string {
  return lastState?.terminated ? `Last end: ${describeExit(lastState.terminated, underShim)}` : "";
}

function Figures({ session, uid }: { session: Session; uid: string }) {
  const series = session.metrics.pods.value.get(uid);
  if (!series) return null;
  const lines = [{ label: "this pod", series }];
  return (
    <div class="plots">
      <Plot title="Memory of the pod" lines={lines} value={memoryOf} format={formatBytes} />
      <Plot title="Processors of the pod" lines={lines} value={cpuOf} format={formatCpu} />
    </div>
  );
}
