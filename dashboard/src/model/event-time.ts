import type { KubeEvent } from "../kube/types.ts";

/** When an event was seen last; its writers fill one field or another. */
export function timeOf(event: KubeEvent): string | undefined {
  return (
    event.series?.lastObservedTime ??
    event.lastTimestamp ??
    event.eventTime ??
    event.firstTimestamp ??
    event.metadata.creationTimestamp
  );
}

/** The same in milliseconds since 1970; 0 where there is none, so that it counts as the oldest. */
export function millisecondsOf(event: KubeEvent): number {
  return Date.parse(timeOf(event) ?? "") || 0;
}
