import { signal } from "@preact/signals";
import type { KubeEvent } from "../kube/types.ts";
import { millisecondsOf, timeOf } from "../model/event-time.ts";
import type { Session } from "../state/session.ts";
import { Age, Panel, Table } from "./parts.tsx";

const MAX_SHOWN = 100;
const warningsOnly = signal(false);

const newestFirst = (a: KubeEvent, b: KubeEvent) => millisecondsOf(b) - millisecondsOf(a);

export function EventsPanel({ session }: { session: Session }) {
  const all = [...session.events.objects.value.values()];
  const chosen = warningsOnly.value ? all.filter(({ type }) => type === "Warning") : all;
  return (
    <Panel
      id="events"
      title="Events"
      health={session.events.health.value}
      extra={
        <label class="inline">
          <input
            type="checkbox"
            checked={warningsOnly.value}
            onChange={(event) => (warningsOnly.value = event.currentTarget.checked)}
          />
          warnings only
        </label>
      }
    >
      <EventTable label="Events" events={chosen} />
    </Panel>
  );
}

/** `ofOne`: all of the same object, which need not be named. */
export function EventTable(props: { label: string; events: KubeEvent[]; ofOne?: boolean }) {
  const { label, events, ofOne = false } = props;
  const shown = [...events].sort(newestFirst).slice(0, MAX_SHOWN);
  if (shown.length === 0) return <p class="quiet">There are none.</p>;
  return (
    <Table
      label={label}
      columns={[
        { number: "Last seen" },
        "Reason",
        !ofOne && "Object",
        "Message",
        { number: "Times" },
      ]}
      class="events"
    >
      {shown.map((event) => (
        <tr key={event.metadata.uid} class={event.type === "Warning" ? "warning" : ""}>
          <td class="number">
            <Age since={timeOf(event)} />
          </td>
          <td>
            {event.type === "Warning" && <span aria-label="Warning:">▲ </span>}
            {event.reason}
          </td>
          {!ofOne && (
            <td>
              {event.involvedObject?.kind} {event.involvedObject?.name}
            </td>
          )}
          <td>{event.message}</td>
          <td class="number">{event.series?.count ?? event.count ?? 1}</td>
        </tr>
      ))}
    </Table>
  );
}
