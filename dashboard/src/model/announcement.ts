/** A line that the shim says at an app's start: where a component is reached. */
export interface Route {
  component: string;
  trigger: "HTTP" | "Redis";
  /** A path, or a channel. */
  address: string;
}

const MAX_ROUTES = 50;
/** HTTP/80, then routes; enough for some hundred of them. */
export const ANNOUNCEMENT_BYTES = 16_384;

/**
 * Reads the triggers and routes from the beginning of an app's log:
 *
 *     Serving http://[::]:80
 *     Available Routes:
 *       menu: http://[::]:80/menu
 *       rest: http://[::]:80 (wildcard)
 *     Active Channels on redis://redis:6379:
 *     	orders: [kitchen]
 *
 * Empty where the log does not begin with them: it was rotated, or the app has not started. A
 * component can print such lines too, so they are shown as what the log says and decide nothing.
 */
export function readAnnouncement(log: string): Route[] {
  const routes: Route[] = [];
  let base = "";
  let reading: "routes" | "channels" | undefined;
  for (const line of log.split("\n")) {
    const serving = /^Serving (http:\/\/\S+)$/.exec(line);
    if (serving) {
      base = serving[1]!;
    } else if (line === "Available Routes:") {
      reading = "routes";
    } else if (/^Active Channels on \S+:$/.test(line)) {
      reading = "channels";
    } else if (reading === "routes" && base && line.startsWith("  ")) {
      const [component, target] = cut(line.trim(), ": ");
      if (!target.startsWith(base)) continue;
      const path = target.slice(base.length).replace(/ \(wildcard\)$/, "/*");
      routes.push({ component, trigger: "HTTP", address: path || "/" });
    } else if (reading === "channels" && line.startsWith("\t")) {
      const channel = /^\t(.*): \[(.*)\]$/.exec(line);
      if (!channel) continue;
      for (const component of channel[2]!.split(",")) {
        routes.push({ component, trigger: "Redis", address: channel[1]! });
      }
    } else {
      reading = undefined;
    }
    if (routes.length >= MAX_ROUTES) break;
  }
  return routes;
}

function cut(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + separator.length)];
}
