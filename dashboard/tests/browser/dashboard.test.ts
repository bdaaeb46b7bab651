import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  apply,
  type Dashboard,
  echo,
  expire,
  kubectl,
  pod,
  run,
  startDashboard,
  startForwarder,
} from "./cluster.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const NAMESPACE = `dashboard-test-${process.pid}`;
const WORKER = "k3d-bachelors-project-worker-0";

let browser: Browser;
let dashboard: Dashboard;
let context: BrowserContext;
/** Hosts that any page asked. */
const hosts = new Set<string>();
/** What the pages' policy has blocked, and errors that nothing caught. */
const faults: string[] = [];

beforeAll(async () => {
  await kubectl(["create", "namespace", NAMESPACE]);
  dashboard = await startDashboard();
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  browser = await chromium.launch({
    executablePath,
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
  });
});

afterAll(async () => {
  await browser?.close();
  await dashboard?.interrupt();
  await kubectl(["delete", "namespace", NAMESPACE, "--wait=false"]);
});

afterEach(async () => {
  await context?.close();
});

async function open(
  address = dashboard.address,
  colorScheme: "light" | "dark" = "light",
): Promise<Page> {
  context = await browser.newContext({ viewport: { width: 1500, height: 1200 }, colorScheme });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on("request", (request) => hosts.add(new URL(request.url()).origin));
  page.on("websocket", (socket) => hosts.add(new URL(socket.url()).origin.replace("ws:", "http:")));
  page.on("pageerror", (error) => faults.push(error.stack ?? error.message));
  page.on("console", (message) => {
    if (/Content.Security.Policy|Trusted/i.test(message.text())) faults.push(message.text());
  });
  await page.goto(address);
  return page;
}

const addressWith = (token: string) => `${dashboard.origin}/dashboard/#token=${token}`;
const row = (page: Page, region: string, text: string | RegExp) =>
  page.getByRole("group", { name: region, exact: true }).getByRole("row").filter({ hasText: text });

/** Opens the details of the kitchen's pod, and waits until its log is there. */
async function openKitchen(page: Page): Promise<void> {
  await row(page, "Spin apps", /^kitchen-/)
    .getByRole("button")
    .click();
  await page
    .getByRole("log")
    .getByText(/Active Channels/)
    .waitFor();
}

describe("the panels", () => {
  it("show each node with its runtimes and the version of its shim", async () => {
    const page = await open();
    const stated = await run("docker", ["exec", WORKER, "containerd-shim-spin-v2", "-v"]);
    const worker = row(page, "Nodes", WORKER);
    await worker
      .getByText("default, runc, spin")
      .or(worker.getByText(/\bspin\b/))
      .first()
      .waitFor();
    expect(await worker.getByRole("cell").nth(1).textContent()).toBe(
      stated.trim().split(" ").at(-1),
    );
    const server = row(page, "Nodes", "k3d-bachelors-project-server-0");
    expect(await server.getByRole("cell").nth(0).textContent()).toContain("Ready");
    expect(await server.getByRole("cell").nth(3).textContent()).toMatch(
      /containerd:\/\/\d.*kubelet v1\./,
    );
  });

  it("show which nodes a RuntimeClass allows", async () => {
    const page = await open();
    const spin = row(page, "RuntimeClasses", "wasmtime-spin-v2");
    await spin.waitFor();
    expect(await spin.textContent()).toBe(
      `wasmtime-spin-v2spinthe Spin shim${WORKER}cpu 10m, memory 4Mi`,
    );
  });

  it("show an app with its digest, routes, state and figures", async () => {
    const page = await open();
    const app = row(page, "Spin apps", /^restaurant-/);
    await app.getByText("HTTP /* → restaurant").waitFor();
    await app.getByText("Ready").waitFor();
    await app.getByText(/^sha256:[0-9a-f]{12}$/).waitFor();
    const cells = app.getByRole("cell");
    await expect
      .poll(() => cells.nth(4).textContent(), { timeout: 60_000 })
      .toMatch(/^[\d.]+ [KM]iB$/);
    expect(await cells.nth(5).textContent()).toMatch(/^[\d.]+ m$/);
    await row(page, "Spin apps", /^kitchen-/)
      .getByText("Redis restaurant → kitchen")
      .waitFor();
  });

  it("show ordinary pods beside them", async () => {
    const page = await open();
    const redis = row(page, "Ordinary pods", /^redis-/);
    await redis.getByText("docker.io/library/redis:7").waitFor();
    await redis.getByText("Ready").waitFor();
    expect(await row(page, "Spin apps", /^redis-/).count()).toBe(0);
  });

  it("show events as they come", async () => {
    const page = await open();
    await row(page, "Events", "Reason").waitFor();
    await apply(pod(NAMESPACE, "nowhere", { nodeSelector: { no: "such" } }));
    await row(page, "Events", "Pod nowhere").getByText("FailedScheduling").waitFor();
    const app = row(page, "Spin apps", "nowhere");
    await app.getByText(/^No node can take the pod\. 0\/2 nodes are available/).waitFor();
  });

  it("plot memory and processors over the last minutes", async () => {
    const page = await open();
    const memory = page.getByRole("img", { name: /^Memory over the last ten minutes/ });
    const line = memory.locator("path.line-0");
    await expect
      .poll(() => line.getAttribute("d"), { timeout: 60_000 })
      .toMatch(/^M[\d.]+ [\d.]+L[\d.]+ /);
    expect(await memory.getAttribute("aria-label")).toMatch(
      /now: Spin apps [\d.]+ MiB, ordinary pods [\d.]+ MiB$/,
    );
  });
});

describe("a crash-looping app", () => {
  it("is explained by its exit code and its own words", async () => {
    const env = [{ name: "SPIN_WORKERS", value: "many" }];
    await apply(pod(NAMESPACE, "crashing", {}, { env }));
    const page = await open();
    const app = row(page, "Spin apps", "crashing");
    await app.getByText("Crash loop").waitFor();
    const reason = await app.locator(".state .reason").textContent();
    expect(reason).toContain("ended with exit code 66: what was given from outside is not right.");
    expect(reason).toMatch(/It said: “.*SPIN_WORKERS.*” It was restarted/);
    await app.getByRole("button", { name: "crashing" }).click();
    await page
      .getByRole("log")
      .getByText(/SPIN_WORKERS/)
      .first()
      .waitFor();
    await row(page, "Events of the pod", "BackOff").first().waitFor();
  });
});

describe("the restaurant", () => {
  it("makes an order that was placed on the page ready on it, and logs it live", async () => {
    const page = await open();
    await openKitchen(page);
    await page.getByLabel("Dish").selectOption("GNOCCHI");
    await page.getByRole("button", { name: "Place the order" }).click();
    const answer = page.getByText(/^Order \d+ of GNOCCHI is placed\.$/);
    await answer.waitFor();
    const id = /\d+/.exec((await answer.textContent())!)![0];
    const order = row(page, "Orders", new RegExp(`^${id}GNOCCHI`));
    await order.getByText(/^(placed|cooking)$/).waitFor();
    await page.getByRole("log").getByText(`cooking GNOCCHI (order ${id})`).waitFor();
    await order.getByText("ready").waitFor();
    await page.getByRole("log").getByText(`GNOCCHI (order ${id}) is ready`).waitFor();
  });

  it("shows an order that was placed elsewhere", async () => {
    const page = await open();
    await page.getByRole("button", { name: "Place the order" }).waitFor();
    const path = "/api/v1/namespaces/default/services/restaurant:http/proxy/order/CALZONE";
    const { id } = JSON.parse(await kubectl(["create", "--raw", path, "-f", "/dev/null"])) as {
      id: number;
    };
    const order = row(page, "Orders", new RegExp(`^${id}CALZONE`));
    await order.getByText("cooking").waitFor();
    await order.getByText("ready").waitFor();
  });
});

describe("300 pods", () => {
  const names = Array.from({ length: 300 }, (_, index) => `many-${index}`);

  it("are shown, filtered and taken away while the page stays smooth", async () => {
    const page = await open();
    await page.getByRole("heading", { name: /^Spin apps \(/ }).waitFor();
    const session = await page.context().newCDPSession(page);
    // The main thread's own time: what else runs on the machine does not count.
    await session.send("Performance.enable", { timeDomain: "threadTicks" });
    const milliseconds = async () => {
      const { metrics } = await session.send("Performance.getMetrics");
      return 1000 * metrics.find(({ name }) => name === "TaskDuration")!.value;
    };
    const rows = row(page, "Spin apps", /^many-/);
    const end = page.getByRole("group", { name: "Spin apps", exact: true }).getByText(/^\d+ more:/);

    const filter = page.getByLabel("Filter pods");
    await filter.fill(`${NAMESPACE} many-`);

    const before = await milliseconds();
    await apply(...names.map((name) => pod(NAMESPACE, name, { nodeSelector: { no: "such" } })));
    await expect.poll(() => end.textContent(), { timeout: 60_000 }).toMatch(/^240 more/);
    const shown = await milliseconds();
    await filter.fill(`${NAMESPACE} many-299`);
    await expect.poll(() => rows.count()).toBe(1);
    await filter.fill(`${NAMESPACE} many-`);
    await expect.poll(() => rows.count()).toBe(60);
    const filtered = await milliseconds();
    while ((await end.count()) > 0)
      await end.scrollIntoViewIfNeeded({ timeout: 5000 }).catch(() => {});
    expect(await rows.count()).toBe(300);
    const scrolled = await milliseconds();
    await kubectl(["delete", "pods", "-n", NAMESPACE, "--wait=false", ...names]);
    await expect.poll(() => rows.count(), { timeout: 60_000 }).toBe(0);

    const [adding, filtering, scrolling] = [shown - before, filtered - shown, scrolled - filtered];
    // A slow machine takes 500, 150 and 500 ms.
    expect(adding, "adding").toBeLessThan(3000);
    expect(filtering, "filtering").toBeLessThan(600);
    expect(scrolling, "scrolling").toBeLessThan(3000);
  });
});

describe("a failure is a sentence", () => {
  it("without a token", async () => {
    const page = await open(`${dashboard.origin}/dashboard/`);
    await page.getByText("The page has no token.").waitFor();
    await page.getByRole("textbox", { name: "Token" }).fill(dashboard.token);
    await page.getByRole("button", { name: "Use this token" }).click();
    await page.getByText("live", { exact: true }).waitFor();
  });

  it("with a token that is none of the cluster's", async () => {
    const page = await open(addressWith("a.b.c"));
    await page.getByText("The Kubernetes API does not accept the token.").waitFor();
  });

  it("with a token that has expired", async () => {
    const page = await open(addressWith(await expire(dashboard.token)));
    await page.getByText(/^The token expired at \d\d:\d\d:\d\d\.$/).waitFor();
  });

  it("with a token whose account may not list", async () => {
    await kubectl(["create", "serviceaccount", "stranger", "-n", NAMESPACE]);
    const token = (await kubectl(["create", "token", "stranger", "-n", NAMESPACE])).trim();
    const page = await open(addressWith(token));
    await page.getByText(/^The token's account may not list pods\./).waitFor();
    await page.getByText(/^The token's account may not list nodes\./).waitFor();
  });

  it("while the API is away, and the page recovers", async () => {
    const forwarder = await startForwarder();
    const folder = mkdtempSync(join(tmpdir(), "dashboard-test-"));
    writeFileSync(join(folder, "config"), forwarder.kubeconfig, { mode: 0o600 });
    const other = await startDashboard({ DASHBOARD_KUBECONFIG: join(folder, "config") });
    try {
      const page = await open(other.address);
      await page.getByText("live", { exact: true }).waitFor();
      await forwarder.close();
      await page
        .getByRole("alert")
        .getByText(/^The Kubernetes API does not answer\./)
        .waitFor();
      await forwarder.open();
      await page.getByText("live", { exact: true }).waitFor();
      expect(await page.getByRole("alert").count()).toBe(0);
      await other.interrupt();
      await page
        .getByRole("alert")
        .getByText(/^kubectl proxy does not answer\./)
        .waitFor();
    } finally {
      await other.interrupt();
      await forwarder.close();
      rmSync(folder, { recursive: true });
    }
  });
});

describe("the page's walls", () => {
  const ask = (path: string, token?: string) =>
    fetch(dashboard.origin + path, token ? { headers: { authorization: `Bearer ${token}` } } : {});

  it("give nothing to a request without the token", async () => {
    expect((await ask("/api/v1/pods?limit=1")).status).toBe(403);
    expect((await ask("/api/v1/pods?limit=1", dashboard.token)).status).toBe(200);
  });

  it("pass on only what the page asks for, whatever the token's rights", async () => {
    const paths = [
      "secrets",
      "namespaces/kube-system/secrets",
      `namespaces/${NAMESPACE}/pods`,
      "nodes/x/proxy/run/a/b/c",
      "namespaces/default/services/redis:redis/proxy/",
    ];
    for (const path of paths) {
      expect((await ask(`/api/v1/${path}`, dashboard.token)).status, path).toBe(403);
    }
    const init = { method: "DELETE", headers: { authorization: `Bearer ${dashboard.token}` } };
    expect((await fetch(`${dashboard.origin}/api/v1/pods`, init)).status).toBe(403);
  });

  it("turn away a name that another site made point here", async () => {
    const { port } = new URL(dashboard.origin);
    const path = `http://127.0.0.1:${port}/api/v1/pods`;
    const answer = await run("curl", [
      "-s",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      "-H",
      "Host: evil.example",
      "-H",
      `Authorization: Bearer ${dashboard.token}`,
      path,
    ]);
    expect(answer).toBe("403");
  });

  it("keep the token from the cluster's apps", async () => {
    await apply(...echo(NAMESPACE));
    await kubectl(["wait", "-n", NAMESPACE, "--for=condition=Ready", "pod/echo", "--timeout=60s"]);
    const path = `/api/v1/namespaces/${NAMESPACE}/services/restaurant:http/proxy/menu`;
    const request = async () => (await ask(path, dashboard.token)).text();
    await expect.poll(request, { timeout: 30_000 }).toMatch(/^GET \/menu HTTP\/1\.1\r\n/);
    expect((await request()).toLowerCase()).not.toContain("authorization");
  });

  it("keep the token out of the address and of storage", async () => {
    const page = await open();
    await page.getByText("live", { exact: true }).waitFor();
    expect(page.url()).toBe(`${dashboard.origin}/dashboard/`);
    const stored = await page.evaluate(() =>
      JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, history.state]),
    );
    expect(stored).not.toContain(dashboard.token.slice(-40));
  });

  it("keep the token out of the arguments of the browser, which all users can read", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dashboard-test-"));
    const program = join(folder, "browser");
    const opened = join(folder, "opened");
    const script = `#!/bin/sh\n{ echo "$*"; stat -c %a "$1"; cat "$1"; } >${opened}.new\n`;
    writeFileSync(program, `${script}mv ${opened}.new ${opened}\n`, { mode: 0o700 });
    const other = await startDashboard({ DASHBOARD_BROWSER: program });
    try {
      await expect.poll(() => existsSync(opened), { timeout: 10_000 }).toBe(true);
      const [argument, mode, page] = readFileSync(opened, "utf8").split("\n");
      expect([argument, mode]).toEqual([expect.stringMatching(/^\S+\/open\.html$/), "600"]);
      expect(page).toContain(`url=${other.address}"`);
    } finally {
      await other.interrupt();
      rmSync(folder, { recursive: true });
    }
  });

  it("show nothing inside of another page", async () => {
    const other = createServer((_request, answer) => {
      answer.setHeader("content-type", "text/html");
      answer.end(`<iframe src="${dashboard.address}"></iframe>`);
    });
    other.listen(0, "127.0.0.1");
    await once(other, "listening");
    try {
      const page = await open(`http://127.0.0.1:${(other.address() as AddressInfo).port}/`);
      const frame = page.frameLocator("iframe");
      await frame.getByText("This page does not work inside of another one.").waitFor();
    } finally {
      other.close();
    }
  });

  it("let no page ask another host or load its scripts", async () => {
    const page = await open();
    await page.getByText("live", { exact: true }).waitFor();
    const directives = await page.evaluate(async () => {
      const blocked: string[] = [];
      addEventListener("securitypolicyviolation", (event) =>
        blocked.push(event.effectiveDirective),
      );
      await fetch("http://elsewhere.example/").catch(() => {});
      const image = new Image();
      await new Promise((resolve) => {
        image.onerror = resolve;
        image.src = "http://elsewhere.example/x.png";
      });
      const script = document.createElement("script");
      try {
        script.src = "http://elsewhere.example/x.js";
      } catch {
        // a TypeError, because no policy makes script addresses
      }
      // The events come after what they are about.
      for (let tries = 0; blocked.length < 3 && tries < 100; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return blocked;
    });
    expect(directives).toEqual(["connect-src", "img-src", "require-trusted-types-for"]);
    hosts.delete("http://elsewhere.example");
    faults.length = 0;
  });
});

describe("people who use it otherwise", () => {
  it.each(["light", "dark"] as const)(
    "find no accessibility fault in %s colours",
    async (scheme) => {
      const page = await open(dashboard.address, scheme);
      await openKitchen(page);
      await page.evaluate(AXE);
      const faults = await page.evaluate(async () => {
        const { axe } = window as unknown as {
          axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
        };
        const { violations } = await axe.run();
        return violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
      });
      expect(faults.join("\n")).toBe("");
    },
  );

  it("choose the colours themselves", async () => {
    const page = await open(dashboard.address, "light");
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await page.getByLabel("Colours").selectOption("dark");
    await expect.poll(background).not.toBe(light);
    await page.reload();
    expect(await background()).not.toBe(light);
  });

  it("open and close a pod's details by the keyboard", async () => {
    const page = await open();
    const button = row(page, "Spin apps", /^kitchen-/).getByRole("button");
    await button.focus();
    await page.keyboard.press("Enter");
    const heading = page.getByRole("complementary").getByRole("heading", { level: 2 });
    await heading.waitFor();
    await expect
      .poll(() => heading.evaluate((element) => element === document.activeElement))
      .toBe(true);
    await page.keyboard.press("Escape");
    await expect
      .poll(() => button.evaluate((element) => element === document.activeElement))
      .toBe(true);
    expect(await page.getByRole("complementary").count()).toBe(0);
  });
});

describe("at the end", () => {
  it("no page has asked another host, and no policy was broken", () => {
    const own = [...hosts].filter((host) => !/^http:\/\/127\.0\.0\.1:\d+$/.test(host));
    expect([own, faults]).toEqual([[], []]);
  });

  it("Ctrl-C ends the dashboard cleanly", async () => {
    const folders = () =>
      readdirSync(tmpdir())
        .filter((name) => name.startsWith("tmp."))
        .sort();
    const before = folders();
    const other = await startDashboard();
    expect(folders().length).toBeGreaterThan(before.length);
    expect(await other.interrupt()).toBe(0);
    await expect(fetch(other.origin)).rejects.toThrow();
    expect(folders()).toEqual(before);
  });
});
