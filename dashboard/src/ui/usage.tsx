import { formatBytes, formatCpu } from "../model/format.ts";
import type { Sample } from "../model/samples.ts";
import type { Session } from "../state/session.ts";
import { Panel } from "./parts.tsx";
import { Plot } from "./plot.tsx";

export const memoryOf = (sample: Sample) => sample.memory;
export const cpuOf = (sample: Sample) => sample.nanoCores;

export function UsagePanel({ session }: { session: Session }) {
  const { shim, ordinary, failures } = session.metrics;
  const lines = [
    { label: "Spin apps", series: shim.value },
    { label: "ordinary pods", series: ordinary.value },
  ];
  return (
    <Panel id="usage" title="Memory and processors">
      <div class="plots">
        <Plot title="Memory" lines={lines} value={memoryOf} format={formatBytes} />
        <Plot title="Processors" lines={lines} value={cpuOf} format={formatCpu} />
      </div>
      {[...failures.value].map(([node, failure]) => (
        <p key={node} class="problem">
          {failure.message}
        </p>
      ))}
    </Panel>
  );
}
