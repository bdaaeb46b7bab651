import { sentence } from "../kube/failure.ts";
import type { KubeNode, RuntimeClass } from "../kube/types.ts";
import type { PodState } from "./pod-state.ts";

/** scripts/deploy.sh asks the node's binary and sets it; Kubernetes knows only containerd's version. */
export const SHIM_VERSION = "containerd-shim-spin/version";
/** The handler that containerd knows the shim by: RuntimeClasses with it run their pods under it. */
export const SHIM_HANDLER = "spin";

const PRESSURES: Record<string, string> = {
  MemoryPressure: "memory is short",
  DiskPressure: "disk space is short",
  PIDPressure: "process numbers are short",
  NetworkUnavailable: "its network is not set up",
};

export function nodeState(node: KubeNode): PodState {
  const conditions = node.status?.conditions ?? [];
  const ready = conditions.find(({ type }) => type === "Ready");
  if (ready?.status !== "True") {
    const away = !ready || ready.status === "Unknown";
    const reason = away ? "The node's kubelet does not answer." : sentence(ready.message ?? "");
    return { level: "failed", title: away ? "Away" : "Not ready", reason };
  }
  const short = conditions
    .filter(({ type, status }) => status === "True" && PRESSURES[type])
    .map(({ type }) => PRESSURES[type]!);
  if (short.length > 0) {
    return { level: "failed", title: "Under pressure", reason: sentence(short.join(", ")) };
  }
  if (node.spec?.unschedulable) {
    return { level: "waiting", title: "Cordoned", reason: "The node takes no new pods." };
  }
  return { level: "ok", title: "Ready", reason: "" };
}

/** The names of the runtimes; containerd's default one has none. */
export function runtimesOf(node: KubeNode): string[] {
  const names = (node.status?.runtimeHandlers ?? []).map(({ name }) => name || "default");
  return [...new Set(names)].sort();
}

export function hasShim(node: KubeNode): boolean {
  return runtimesOf(node).includes(SHIM_HANDLER);
}

/** The nodes that a RuntimeClass allows, by its labels. */
export function nodesOf(runtimeClass: RuntimeClass, nodes: Iterable<KubeNode>): string[] {
  const wanted = Object.entries(runtimeClass.scheduling?.nodeSelector ?? {});
  return [...nodes]
    .filter(({ metadata }) => wanted.every(([key, value]) => metadata.labels?.[key] === value))
    .map(({ metadata }) => metadata.name)
    .sort();
}

/** The names of the classes whose pods run under the shim. */
export function shimClasses(classes: Iterable<RuntimeClass>): Set<string> {
  return new Set(
    [...classes]
      .filter(({ handler }) => handler === SHIM_HANDLER)
      .map(({ metadata }) => metadata.name),
  );
}
