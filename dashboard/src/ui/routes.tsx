import type { Pod } from "../kube/types.ts";
import type { Session } from "../state/session.ts";

/** The triggers and routes of a pod's app; asked for once `wanted`. */
export function RouteList(props: { session: Session; pod: Pod; wanted: boolean }) {
  const { session, pod, wanted } = props;
  const running = (pod.status?.containerStatuses ?? []).filter(({ state }) => state?.running);
  if (running.length === 0) return <span class="quiet">not running</span>;
  if (!wanted) return <span class="quiet">…</span>;
  const found = running.map((container) => session.announcements.of(pod, container).value);
  const routes = found.flatMap((routes) => (typeof routes === "string" ? [] : routes));
  if (routes.length === 0) {
    const asked = found.includes("asked");
    return <span class="quiet">{asked ? "reading the log…" : "not in the log that is kept"}</span>;
  }
  return (
    <ul class="routes">
      {routes.map(({ component, trigger, address }) => (
        <li key={`${trigger} ${address} ${component}`}>
          <span class="trigger">{trigger}</span> <code>{address}</code> → {component}
        </li>
      ))}
    </ul>
  );
}
