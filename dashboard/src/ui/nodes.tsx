import { formatBytes, formatCpu } from "../model/format.ts";
import {
  hasShim,
  nodesOf,
  nodeState,
  runtimesOf,
  SHIM_HANDLER,
  SHIM_VERSION,
} from "../model/node-state.ts";
import type { KubeNode, KubeObject, RuntimeClass } from "../kube/types.ts";
import type { Session } from "../state/session.ts";
import { Age, Panel, Scroll, State } from "./parts.tsx";

/** Without a collator: names are ASCII, and 500 of them are sorted 20 times a second. */
const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

export const byName = ({ metadata: a }: KubeObject, { metadata: b }: KubeObject) =>
  compare(a.namespace ?? "", b.namespace ?? "") || compare(a.name, b.name);

export function NodesPanel({ session }: { session: Session }) {
  const nodes = [...session.nodes.objects.value.values()].sort(byName);
  return (
    <Panel id="nodes" title={`Nodes (${nodes.length})`} health={session.nodes.health.value}>
      <Scroll label="Nodes">
        <table>
          <thead>
            <tr>
              <th scope="col">Node</th>
              <th scope="col">State</th>
              <th scope="col">Shim</th>
              <th scope="col">Runtimes</th>
              <th scope="col">Software</th>
              <th scope="col" class="number">
                Memory
              </th>
              <th scope="col" class="number">
                CPU
              </th>
              <th scope="col" class="number">
                Age
              </th>
            </tr>
          </thead>
          <tbody>
            {nodes.map((node) => (
              <NodeRow key={node.metadata.uid} node={node} session={session} />
            ))}
          </tbody>
        </table>
      </Scroll>
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
  const classes = [...session.runtimeClasses.objects.value.values()].sort(byName);
  const nodes = [...session.nodes.objects.value.values()];
  return (
    <Panel
      id="runtime-classes"
      title={`RuntimeClasses (${classes.length})`}
      health={session.runtimeClasses.health.value}
    >
      <Scroll label="RuntimeClasses">
        <table>
          <thead>
            <tr>
              <th scope="col">Class</th>
              <th scope="col">Handler</th>
              <th scope="col">Pods run under</th>
              <th scope="col">Nodes</th>
              <th scope="col">Overhead of a pod</th>
            </tr>
          </thead>
          <tbody>
            {classes.map((runtimeClass) => (
              <ClassRow key={runtimeClass.metadata.uid} of={runtimeClass} nodes={nodes} />
            ))}
          </tbody>
        </table>
      </Scroll>
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
