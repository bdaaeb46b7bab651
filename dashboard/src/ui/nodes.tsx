import { formatBytes, formatCpu } from "../model/format.ts";
import {
  hasShim,
  nodesOf,
  nodeState,
  runtimesOf,
  SHIM_HANDLER,
  SHIM_VERSION,
} from "../model/node-state.ts";
import type { KubeNode, RuntimeClass } from "../kube/types.ts";
import { sortedByName } from "../model/sorted.ts";
import type { Session } from "../state/session.ts";
import { Age, Panel, State, Table } from "./parts.tsx";

export function NodesPanel({ session }: { session: Session }) {
  const nodes = sortedByName(session.nodes.objects.value);
  return (
    <Panel id="nodes" title={`Nodes (${nodes.length})`} health={session.nodes.health.value}>
      <Table
        label="Nodes"
        columns={[
          "Node",
          "State",
          "Shim",
          "Runtimes",
          "Software",
          { number: "Memory" },
          { number: "CPU" },
          { number: "Age" },
        ]}
      >
        {nodes.map((node) => (
          <NodeRow key={node.metadata.uid} node={node} session={session} />
        ))}
      </Table>
    </Panel>
  );
}

function NodeRow({ node, session }: { node: KubeNode; session: Session }) {
  const info = node.status?.nodeInfo;
  const sample = session.metrics.nodes.value.get(node.metadata.name)?.at(-1);
  return (
    <tr>
      <th scope="row">{node.metadata.name}</th>
      <td>
        <State state={nodeState(node)} />
      </td>
      <td>{shimOf(node)}</td>
      <td>{runtimesOf(node).join(", ") || "not reported"}</td>
      <td>
        {info?.containerRuntimeVersion ?? "–"}
        <span class="reason">
          kubelet {info?.kubeletVersion ?? "–"}, {info?.architecture ?? "–"}
        </span>
      </td>
      <td class="number">{formatBytes(sample?.memory)}</td>
      <td class="number">{formatCpu(sample?.nanoCores)}</td>
      <td class="number">
        <Age since={node.metadata.creationTimestamp} />
      </td>
    </tr>
  );
}

function shimOf(node: KubeNode): string {
  const version = node.metadata.annotations?.[SHIM_VERSION];
  if (version) return version;
  return hasShim(node) ? "version not stated" : "none";
}

export function RuntimeClassesPanel({ session }: { session: Session }) {
  const classes = sortedByName(session.runtimeClasses.objects.value);
  const nodes = [...session.nodes.objects.value.values()];
  return (
    <Panel
      id="runtime-classes"
      title={`RuntimeClasses (${classes.length})`}
      health={session.runtimeClasses.health.value}
    >
      <Table
        label="RuntimeClasses"
        columns={["Class", "Handler", "Pods run under", "Nodes", "Overhead of a pod"]}
      >
        {classes.map((runtimeClass) => (
          <ClassRow key={runtimeClass.metadata.uid} of={runtimeClass} nodes={nodes} />
        ))}
      </Table>
    </Panel>
  );
}

function ClassRow({ of, nodes }: { of: RuntimeClass; nodes: KubeNode[] }) {
  const allowed = nodesOf(of, nodes);
  const overhead = Object.entries(of.overhead?.podFixed ?? {});
  return (
    <tr>
      <th scope="row">{of.metadata.name}</th>
      <td>{of.handler}</td>
      <td>{of.handler === SHIM_HANDLER ? "the Spin shim" : "another runtime"}</td>
      <td>{allowed.join(", ") || "no node has its labels"}</td>
      <td>{overhead.map(([name, quantity]) => `${name} ${quantity}`).join(", ") || "none"}</td>
    </tr>
  );
}
