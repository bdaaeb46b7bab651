import type { CpuStats, MemoryStats, Summary } from "../kube/types.ts";

export interface Sample {
  /** Milliseconds since 1970. */
  time: number;
  /** Bytes that cannot be given back without swapping: the kubelet's working set. */
  memory: number | undefined;
  nanoCores: number | undefined;
}

/** Ten minutes at one sample every 10 s. */
export const MAX_SAMPLES = 60;

export type Series = readonly Sample[];

/** The series with one sample more, and without those beyond MAX_SAMPLES. */
export function append(series: Series | undefined, sample: Sample): Series {
  return [...(series ?? []).slice(1 - MAX_SAMPLES), sample];
}

export function readSummary(
  summary: Summary,
  time: number,
): { node: Sample; pods: Map<string, Sample> } {
  const pods = new Map<string, Sample>();
  for (const { podRef, cpu, memory } of summary.pods ?? [])
    pods.set(podRef.uid, read(time, cpu, memory));
  return { node: read(time, summary.node?.cpu, summary.node?.memory), pods };
}

function read(time: number, cpu: CpuStats | undefined, memory: MemoryStats | undefined): Sample {
  return { time, memory: memory?.workingSetBytes, nanoCores: cpu?.usageNanoCores };
}

/** The samples added up; a value is missing only where all are. */
export function total(samples: Iterable<Sample>, time: number): Sample {
  const sum: Sample = { time, memory: undefined, nanoCores: undefined };
  for (const { memory, nanoCores } of samples) {
    if (memory !== undefined) sum.memory = (sum.memory ?? 0) + memory;
    if (nanoCores !== undefined) sum.nanoCores = (sum.nanoCores ?? 0) + nanoCores;
  }
  return sum;
}
