import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Pod } from "../kube/types.ts";
import { Log } from "../state/log.ts";
import type { Session } from "../state/session.ts";

/** A reader this close to the end stays at the end. */
const END_PIXELS = 40;

/** The live log of one of a pod's containers. */
export function LogView({ session, pod }: { session: Session; pod: Pod }) {
  const names = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].map(
    ({ name }) => name,
  );
  const container = useSignal(names[0] ?? "");
  const previous = useSignal(false);
  const log = useSignal<Log | undefined>(undefined);
  const view = useRef<HTMLDivElement>(null);
  const statuses = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []),
  ];
  const status = statuses.find(({ name }) => name === container.value);
  const startable = Boolean(status?.containerID);
  useEffect(() => {
    if (!startable) return;
    const place = {
      namespace: pod.metadata.namespace ?? "default",
      pod: pod.metadata.name,
      container: container.value,
      previous: previous.value,
    };
    const next = new Log(session.api, place);
    log.value = next;
    return () => next.close();
    // A container that is started anew has another ID, and a log of its own.
  }, [session, pod.metadata.uid, container.value, previous.value, status?.containerID]);

  const lines = log.value?.lines.value ?? [];
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    if (atEnd.current && view.current) view.current.scrollTop = view.current.scrollHeight;
  }, [lines]);
  const noteScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = view.current!;
    atEnd.current = scrollHeight - clientHeight - scrollTop < END_PIXELS;
  };
  return (
    <section aria-labelledby="log-title">
      <h3 id="log-title">Log</h3>
      <div class="choices">
        <label class="inline">
          Container
          <select
            value={container.value}
            onChange={(e) => (container.value = e.currentTarget.value)}
          >
            {names.map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label class="inline">
          <input
            type="checkbox"
            checked={previous.value}
            onChange={(e) => (previous.value = e.currentTarget.checked)}
          />
          before the last restart
        </label>
      </div>
      {/* A screen reader is not to read every line of a busy log: people go to it. */}
      <div
        class="log"
        role="log"
        aria-live="off"
        aria-label="Log"
        tabIndex={0}
        ref={view}
        onScroll={noteScroll}
      >
        {lines.map(({ number, text }) => (
          <div key={number}>{text || " "}</div>
        ))}
      </div>
      <p class="quiet" role="status">
        {startable
          ? (log.value?.note.value ?? "")
          : "The container has not started: it has no log yet."}
      </p>
    </section>
  );
}
