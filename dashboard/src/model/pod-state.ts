import { sentence } from "../kube/failure.ts";
import type { ContainerStatus, Pod } from "../kube/types.ts";
import { describeExit } from "./exit.ts";

/** `waiting`: on its way, nothing has failed. */
export type Level = "ok" | "waiting" | "failed" | "done";

export interface PodState {
  level: Level;
  /** Two or three words. */
  title: string;
  /** A sentence or more; empty where the title says it all. */
  reason: string;
}

const IMAGE_REASONS = new Set([
  "ErrImagePull",
  "ImagePullBackOff",
  "ErrImageNeverPull",
  "InvalidImageName",
  "ImageInspectError",
  "RegistryUnavailable",
]);
const CREATE_REASONS = new Set([
  "CreateContainerConfigError",
  "CreateContainerError",
  "RunContainerError",
  "PreCreateHookError",
  "PreStartHookError",
  "PostStartHookError",
]);

/** The state of a pod with its reason in words. `underShim`: exit codes are those of the shim. */
export function podState(pod: Pod, underShim: boolean): PodState {
  const status = pod.status ?? {};
  const ending = pod.metadata.deletionTimestamp;
  if (ending) {
    const seconds = pod.metadata.deletionGracePeriodSeconds ?? 0;
    return {
      level: "waiting",
      title: "Ending",
      reason: `The pod was deleted and has ${seconds} seconds to finish its work.`,
    };
  }
  if (status.phase === "Failed" && status.reason) {
    return { level: "failed", title: status.reason, reason: sentence(status.message ?? "") };
  }
  const scheduled = condition(pod, "PodScheduled");
  if (scheduled?.status === "False") {
    const why = sentence(scheduled.message ?? "");
    return {
      level: "waiting",
      title: "No node",
      reason: `No node can take the pod. ${why}`.trim(),
    };
  }
  for (const container of status.initContainerStatuses ?? []) {
    const state = containerFailure(container, underShim, "Never");
    if (state) return state;
  }
  const isOver = status.phase === "Failed" || status.phase === "Succeeded";
  const policy = isOver ? "Never" : (pod.spec?.restartPolicy ?? "Always");
  for (const container of status.containerStatuses ?? []) {
    const state = containerFailure(container, underShim, policy);
    if (state) return state;
  }
  return phaseState(pod, underShim);
}

/** The state where the container needs attention, otherwise nothing. */
function containerFailure(
  container: ContainerStatus,
  underShim: boolean,
  restartPolicy: string,
): PodState | undefined {
  const { waiting, terminated } = container.state ?? {};
  const name = `The container ${container.name}`;
  // Between two starts the kubelet says either that it waits, or still how the container ended.
  const isBackingOff = waiting?.reason === "CrashLoopBackOff";
  const isRestarted =
    restartPolicy === "Always" || (restartPolicy === "OnFailure" && terminated?.exitCode !== 0);
  if (isBackingOff || (terminated && isRestarted)) {
    const end = terminated ?? container.lastState?.terminated;
    const last = end ? `${name} ${describeExit(end, underShim)}` : `${name} ended.`;
    const count = container.restartCount;
    return {
      level: "failed",
      title: count > 0 ? "Crash loop" : "Restarting",
      reason: count > 0 ? `${last} ${describeRestarts(count)}` : `${last} It is started again.`,
    };
  }
  const why = sentence(waiting?.message ?? "");
  if (waiting?.reason && IMAGE_REASONS.has(waiting.reason)) {
    const reason = `The image ${container.image} cannot be had. ${why}`.trim();
    return { level: "failed", title: "Image missing", reason };
  }
  if (waiting?.reason && CREATE_REASONS.has(waiting.reason)) {
    return {
      level: "failed",
      title: "Not created",
      reason: `${name} cannot be created. ${why}`.trim(),
    };
  }
  if (terminated && terminated.exitCode !== 0) {
    return {
      level: "failed",
      title: "Failed",
      reason: `${name} ${describeExit(terminated, underShim)}`,
    };
  }
  return undefined;
}

function phaseState(pod: Pod, underShim: boolean): PodState {
  const status = pod.status ?? {};
  const containers = status.containerStatuses ?? [];
  if (status.phase === "Succeeded") return { level: "done", title: "Completed", reason: "" };
  if (status.phase === "Failed") return { level: "failed", title: "Failed", reason: "" };
  if (status.phase === "Unknown") {
    return { level: "failed", title: "Unknown", reason: "The pod's node does not answer." };
  }
  const ready = condition(pod, "Ready");
  if (status.phase === "Running" && ready?.status === "True") {
    return { level: "ok", title: "Ready", reason: lastEnd(containers, underShim) };
  }
  if (ready?.reason === "NodeNotReady" || ready?.status === "Unknown") {
    return { level: "failed", title: "Node away", reason: "The pod's node does not answer." };
  }
  const unready = containers.filter(({ ready, state }) => !ready && state?.running);
  if (status.phase === "Running" && unready.length > 0) {
    const names = unready.map(({ name }) => name).join(", ");
    const reason = `Runs, but does not pass its readiness probe yet: ${names}.`;
    return {
      level: "waiting",
      title: "Not ready",
      reason: `${reason} ${lastEnd(containers, underShim)}`.trim(),
    };
  }
  const reason = pod.spec?.nodeName
    ? "The node prepares the containers."
    : "The pod waits for the scheduler.";
  return { level: "waiting", title: "Starting", reason };
}

/** How a container that runs again ended before; nothing where none has. */
function lastEnd(containers: ContainerStatus[], underShim: boolean): string {
  const restarted = containers.find(
    ({ restartCount, lastState }) => restartCount > 0 && lastState?.terminated,
  );
  const end = restarted?.lastState?.terminated;
  if (!restarted || !end) return "";
  return `Before its last restart, the container ${restarted.name} ${describeExit(end, underShim)}`;
}

function condition(pod: Pod, type: string) {
  return pod.status?.conditions?.find((condition) => condition.type === type);
}

function describeRestarts(count: number): string {
  const times = count === 1 ? "once" : `${count} times`;
  return `It was restarted ${times}; Kubernetes waits longer before each restart.`;
}

export function restarts(pod: Pod): number {
  return (pod.status?.containerStatuses ?? []).reduce(
    (sum, { restartCount }) => sum + restartCount,
    0,
  );
}
