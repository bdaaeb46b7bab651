const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes in the unit that leaves one to four digits: 11.5 MiB. */
export function formatBytes(bytes: number | undefined): string {
  if (bytes === undefined || !Number.isFinite(bytes)) return "–";
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

/** Processors in thousandths, the unit of Kubernetes, from nanocores. */
export function formatCpu(nanoCores: number | undefined): string {
  if (nanoCores === undefined || !Number.isFinite(nanoCores)) return "–";
  const millis = nanoCores / 1e6;
  if (millis > 0 && millis < 0.1) return "<0.1 m";
  if (millis >= 1000) return `${(millis / 1000).toFixed(1)} cores`;
  return millis > 0 && millis < 10 ? `${millis.toFixed(1)} m` : `${Math.round(millis)} m`;
}

/** The time since, in its two largest units: 3 h 12 min. */
export function formatAge(since: string | null | undefined, now: number): string {
  const began = Date.parse(since ?? "");
  if (Number.isNaN(began)) return "–";
  const seconds = Math.max(0, Math.floor((now - began) / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`;
}

export function formatTime(time: string | number | null | undefined): string {
  const date = new Date(time ?? "");
  return Number.isNaN(date.getTime()) ? "–" : date.toLocaleTimeString([], { hour12: false });
}

/** sha256:0123456789ab of an image ID such as docker.io/library/redis@sha256:0123…; else nothing. */
export function shortDigest(imageId: string): string {
  const digest = /sha256:([0-9a-f]{12})[0-9a-f]*$/.exec(imageId);
  return digest ? `sha256:${digest[1]}` : "";
}
