import { describe, expect, it } from "vitest";
import { failureOfAnswer } from "../../src/kube/failure.ts";
import { readAnnouncement } from "../../src/model/announcement.ts";
import { formatAge, formatBytes, formatCpu, shortDigest } from "../../src/model/format.ts";
import { nodeState, nodesOf, runtimesOf } from "../../src/model/node-state.ts";
import { noteOrder, orderOfLine } from "../../src/model/orders.ts";
import { append, MAX_SAMPLES, readSummary, type Series, total } from "../../src/model/samples.ts";
import { expiryOf, isTokenShaped, tokenOfFragment } from "../../src/model/token.ts";

describe("the announcement in an app's log", () => {
  it("names components, triggers and addresses", () => {
    const log =
      "Serving http://[::]:80\nAvailable Routes:\n  menu: http://[::]:80/menu\n" +
      "  rest: http://[::]:80 (wildcard)\n  static response: http://[::]:80/robots.txt\n" +
      "Active Channels on redis://redis:6379:\n\torders: [kitchen,audit]\nhello\n";
    expect(readAnnouncement(log)).toEqual([
      { component: "menu", trigger: "HTTP", address: "/menu" },
      { component: "rest", trigger: "HTTP", address: "/*" },
      { component: "static response", trigger: "HTTP", address: "/robots.txt" },
      { component: "kitchen", trigger: "Redis", address: "orders" },
      { component: "audit", trigger: "Redis", address: "orders" },
    ]);
  });

  it("is empty where the log has none", () => {
    expect(readAnnouncement("")).toEqual([]);
    expect(readAnnouncement("Available Routes:\n  a: http://elsewhere/\n\tb: [c]\n")).toEqual([]);
  });

  it("is bounded whatever the log says", () => {
    const log = `Serving http://x:1\nAvailable Routes:\n${"  a: http://x:1/a\n".repeat(1000)}`;
    expect(readAnnouncement(log)).toHaveLength(50);
  });
});

describe("formatting", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [12_058_624, "12 MiB"],
    [5 * 1024 ** 3, "5.0 GiB"],
    [undefined, "–"],
    [Number.NaN, "–"],
  ])("gives %s bytes as %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  it.each([
    [0, "0 m"],
    [20_000, "<0.1 m"],
    [1_500_000, "1.5 m"],
    [250_000_000, "250 m"],
    [2_500_000_000, "2.5 cores"],
    [undefined, "–"],
  ])("gives %s nanocores as %s", (nanoCores, text) => expect(formatCpu(nanoCores)).toBe(text));

  it.each([
    [5, "5 s"],
    [60, "1 min"],
    [3600, "1 h"],
    [11_520, "3 h 12 min"],
    [90_000, "1 d 1 h"],
    [-5, "0 s"],
  ])("gives an age of %s s as %s", (seconds, text) => {
    const now = Date.parse("2026-11-30T12:00:00Z");
    expect(formatAge(new Date(now - seconds * 1000).toISOString(), now)).toBe(text);
  });

  it("gives no age where there is no time", () => expect(formatAge(undefined, 0)).toBe("–"));

  it("shortens the digest of an image", () => {
    expect(shortDigest(`docker.io/library/redis@sha256:${"0123456789abcdef".repeat(4)}`)).toBe(
      "sha256:0123456789ab",
    );
    expect(shortDigest("")).toBe("");
  });
});

describe("a failure", () => {
  const status = (message: string) => JSON.stringify({ kind: "Status", message });

  it.each([
    [401, status("Unauthorized"), "unauthorized", "The Kubernetes API does not accept the token."],
    [
      403,
      status('pods is forbidden: User "x" cannot list resource "pods"'),
      "forbidden",
      'The token\'s account may not list pods. Pods is forbidden: User "x" cannot list resource "pods".',
    ],
    [403, "<h3>Unauthorized</h3>", "refused", "kubectl proxy does not let the page list pods."],
    [410, status("too old"), "expired", "The list is out of date. Too old."],
    [
      502,
      "dial tcp: connection refused",
      "api-away",
      "The Kubernetes API does not answer. Dial tcp: connection refused.",
    ],
    [
      409,
      '{"error":"PIZZA is sold out"}',
      "refused",
      "The page could not list pods (status 409). PIZZA is sold out.",
    ],
    [
      503,
      status("no endpoints available for service"),
      "refused",
      "The page could not list pods (status 503). No endpoints available for service.",
    ],
  ])("of status %s is a sentence", (code, body, kind, message) => {
    expect(failureOfAnswer(code, body, "list pods")).toMatchObject({ kind, message });
  });

  it("behind the API is no failure of the API", () => {
    expect(failureOfAnswer(500, "out of flour", "place the order", true)).toMatchObject({
      kind: "refused",
      message: "The page could not place the order (status 500). Out of flour.",
    });
    expect(failureOfAnswer(500, "dial tcp", "list pods")).toMatchObject({ kind: "api-away" });
  });

  it("stays short where the answer is long", () => {
    expect(failureOfAnswer(500, "x".repeat(100_000), "list pods").message.length).toBeLessThan(400);
  });
});

describe("a node", () => {
  const ready = { type: "Ready", status: "True" };
  const node = (
    conditions: { type: string; status: string; message?: string }[],
    unschedulable = false,
  ) => ({
    metadata: { name: "n", uid: "n", labels: { spin: "yes" } },
    spec: { unschedulable },
    status: { conditions, runtimeHandlers: [{ name: "" }, { name: "spin" }, { name: "runc" }] },
  });

  it.each([
    [node([ready]), "Ready", ""],
    [node([]), "Away", "The node's kubelet does not answer."],
    [node([{ type: "Ready", status: "False", message: "no network" }]), "Not ready", "No network."],
    [
      node([ready, { type: "DiskPressure", status: "True" }]),
      "Under pressure",
      "Disk space is short.",
    ],
    [node([ready], true), "Cordoned", "The node takes no new pods."],
  ])("has a state in words (%#)", (of, title, reason) => {
    expect(nodeState(of)).toMatchObject({ title, reason });
  });

  it("lists its runtimes, the default one by that name", () => {
    expect(runtimesOf(node([ready]))).toEqual(["default", "runc", "spin"]);
  });

  it("takes a class's pods by its labels", () => {
    const spin = {
      metadata: { name: "wasmtime-spin", uid: "c" },
      handler: "spin",
      scheduling: { nodeSelector: { spin: "yes" } },
    };
    const plain = { metadata: { name: "plain", uid: "p" } };
    expect(nodesOf(spin, [node([ready]), plain])).toEqual(["n"]);
    expect(nodesOf({ ...spin, scheduling: {} }, [node([ready]), plain])).toEqual(["n", "plain"]);
  });
});

describe("orders", () => {
  const menu = [{ name: "PIZZA", price: 25 }];

  it("are found in the kitchen's log", () => {
    expect(orderOfLine("cooking PIZZA (order 7)", menu)).toEqual({ name: "PIZZA", id: 7 });
    expect(orderOfLine("PIZZA (order 12) is ready", menu)).toEqual({ name: "PIZZA", id: 12 });
    expect(orderOfLine("PIZZA is ready", menu)).toEqual({ name: "PIZZA" });
    expect(orderOfLine("dropped a message", menu)).toBeUndefined();
  });

  it("keep their place when their state changes, the newest first", () => {
    const first = noteOrder([], { name: "PIZZA", id: 1, state: "placed" }, 10);
    const second = noteOrder(first, { name: "PIZZA", id: 2, state: "placed" }, 20);
    const third = noteOrder(second, { name: "PIZZA", id: 1, state: "ready" }, 30);
    expect(third.map(({ id, state, since }) => [id, state, since])).toEqual([
      [2, "placed", 20],
      [1, "ready", 30],
    ]);
    expect(noteOrder(third, { name: "PIZZA", id: 1, state: "ready" }, 40)).toBe(third);
  });
});

describe("samples", () => {
  it("are read from the kubelet's summary and added up", () => {
    const summary = {
      node: { cpu: { usageNanoCores: 5 }, memory: { workingSetBytes: 100 } },
      pods: [
        { podRef: { uid: "a" }, cpu: { usageNanoCores: 1 }, memory: { workingSetBytes: 10 } },
        { podRef: { uid: "b" }, memory: { workingSetBytes: 20 } },
      ],
    };
    const { node, pods } = readSummary(summary, 7);
    expect(node).toEqual({ time: 7, memory: 100, nanoCores: 5 });
    expect(total(pods.values(), 7)).toEqual({ time: 7, memory: 30, nanoCores: 1 });
    expect(total([], 7)).toEqual({ time: 7, memory: undefined, nanoCores: undefined });
  });

  it("are kept for ten minutes", () => {
    let series: Series = [];
    for (let time = 0; time < 200; time++)
      series = append(series, { time, memory: 1, nanoCores: 1 });
    expect([series.length, series[0]!.time, series.at(-1)!.time]).toEqual([MAX_SAMPLES, 140, 199]);
  });
});

describe("a token", () => {
  const token = (claims: unknown) => `h.${btoa(JSON.stringify(claims)).replace(/=+$/, "")}.s`;

  it("says when it ends", () => {
    expect(expiryOf(token({ exp: 1796000000 }))).toBe(1_796_000_000_000);
    for (const text of ["", "a.b.c", token({}), token(null), token({ exp: "soon" })]) {
      expect(expiryOf(text)).toBeUndefined();
    }
  });

  it("is read from the fragment", () => {
    expect(tokenOfFragment("#token=a.b-c_d")).toBe("a.b-c_d");
    expect(tokenOfFragment("")).toBeUndefined();
  });

  it("is refused where it cannot be sent in a header", () => {
    expect(["a.b.c", "", "a b", "a\nb", "ä"].map(isTokenShaped)).toEqual([
      true,
      false,
      false,
      false,
      false,
    ]);
  });
});
