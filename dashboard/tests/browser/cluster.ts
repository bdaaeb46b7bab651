import { execFile, spawn, type ChildProcess } from "node:child_process";
import { createSign } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer, connect, type Socket } from "node:net";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const KUBECONFIG = process.env.DASHBOARD_KUBECONFIG ?? `${ROOT}.state/kubeconfig`;
const KUBECTL = existsSync(`${ROOT}.state/bin/kubectl`) ? `${ROOT}.state/bin/kubectl` : "kubectl";
const SERVER_NODE = "k3d-bachelors-project-server-0";
/** Where the node keeps the key that tokens are signed with: the local base, k3s. */
const SIGNING_KEYS =
  "/etc/kubernetes/pki/sa.key /var/lib/rancher/k3s/server/tls/service.current.key";

export async function run(program: string, args: string[], input = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, { maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(" ")}: ${stderr || error.message}`));
      else resolve(stdout);
    });
    child.stdin?.end(input);
  });
}

export function kubectl(args: string[], input = ""): Promise<string> {
  return run(KUBECTL, ["--kubeconfig", KUBECONFIG, ...args], input);
}

export function apply(...objects: object[]): Promise<string> {
  const list = { apiVersion: "v1", kind: "List", items: objects };
  return kubectl(["apply", "--server-side", "-f", "-"], JSON.stringify(list));
}

/** A pod object of the restaurant's image; `spec` changes what it needs. */
export function pod(namespace: string, name: string, spec: object = {}, container: object = {}) {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { test: "dashboard" } },
    spec: {
      runtimeClassName: "wasmtime-spin",
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      containers: [
        { name: "app", image: "bachelors-project/restaurant:1", command: ["/"], ...container },
      ],
      ...spec,
    },
  };
}

/** A Service that has the restaurant's name, with an ordinary pod that answers with what it was asked. */
export function echo(namespace: string): object[] {
  const server = String.raw`
    use IO::Socket::INET;
    my $server = IO::Socket::INET->new(LocalPort => 8000, Listen => 5, ReuseAddr => 1) or die $!;
    $SIG{CHLD} = "IGNORE";
    while (my $client = $server->accept) {
      # The API server may keep a connection open without a request.
      if (fork) { close $client; next; }
      my $head = "";
      while (my $line = <$client>) { last if $line eq "\r\n"; $head .= $line; }
      print $client "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n$head";
      exit;
    }`;
  const image = "docker.io/library/redis:7";
  return [
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "echo", namespace, labels: { app: "echo" } },
      spec: {
        automountServiceAccountToken: false,
        terminationGracePeriodSeconds: 1,
        containers: [{ name: "echo", image, command: ["perl", "-e", server] }],
      },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "restaurant", namespace },
      spec: { selector: { app: "echo" }, ports: [{ name: "http", port: 80, targetPort: 8000 }] },
    },
  ];
}

export interface Dashboard {
  /** With the token in its fragment. */
  address: string;
  origin: string;
  token: string;
  /** Ends it as Ctrl-C does, and gives its exit code. */
  interrupt(): Promise<number | null>;
}

/** scripts/dashboard.sh, once it has printed its address. */
export async function startDashboard(environment: NodeJS.ProcessEnv = {}): Promise<Dashboard> {
  const child: ChildProcess = spawn(`${ROOT}scripts/dashboard.sh`, {
    env: {
      ...process.env,
      DASHBOARD_KUBECONFIG: KUBECONFIG,
      DASHBOARD_BROWSER: "none",
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stderr!.on("data", (data: Buffer) => (output += data.toString()));
  const address = await new Promise<string>((resolve, reject) => {
    child.stdout!.on("data", (data: Buffer) => {
      output += data.toString();
      const found = /http:\/\/127\.0\.0\.1:\d+\/dashboard\/#token=\S+/.exec(output);
      if (found && output.includes("Ctrl-C")) resolve(found[0]);
    });
    child.on("exit", (code) =>
      reject(new Error(`scripts/dashboard.sh ended with ${code}: ${output}`)),
    );
  });
  return {
    address,
    origin: new URL(address).origin,
    token: address.split("#token=")[1]!,
    async interrupt() {
      if (child.exitCode !== null) return child.exitCode;
      child.kill("SIGINT");
      const [code] = (await once(child, "exit")) as [number | null];
      return code;
    },
  };
}

/** The same claims and a time that is over, signed by the cluster's own key. */
export async function expire(token: string): Promise<string> {
  const [header, payload] = token.split(".") as [string, string];
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<
    string,
    unknown
  >;
  const end = Math.floor(Date.now() / 1000) - 3600;
  const past = { ...claims, iat: end - 3600, nbf: end - 3600, exp: end };
  const signed = `${header}.${Buffer.from(JSON.stringify(past)).toString("base64url")}`;
  const signature = createSign("RSA-SHA256")
    .update(signed)
    .sign(await signingKey());
  return `${signed}.${signature.toString("base64url")}`;
}

/** The key of the cluster's server; DASHBOARD_SIGNING_KEY names a file instead. */
async function signingKey(): Promise<string> {
  const file = process.env.DASHBOARD_SIGNING_KEY;
  if (file) return readFileSync(file, "utf8");
  const script = `for key in ${SIGNING_KEYS}; do [ ! -e "$key" ] || exec cat "$key"; done; exit 1`;
  return run("docker", ["exec", SERVER_NODE, "sh", "-c", script]);
}

/** A kubeconfig whose API is reached through a forwarder that the test can close. */
export async function startForwarder(): Promise<{
  kubeconfig: string;
  close(): Promise<void>;
  open(): Promise<void>;
}> {
  const config = JSON.parse(
    await kubectl(["config", "view", "--raw", "--minify", "-o", "json"]),
  ) as {
    clusters: { cluster: { server: string } }[];
  };
  const target = new URL(config.clusters[0]!.cluster.server);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const upstream = connect(Number(target.port), target.hostname);
    for (const end of [socket, upstream]) {
      sockets.add(end);
      end.on("error", () => {});
      end.on("close", () => (sockets.delete(end), socket.destroy(), upstream.destroy()));
    }
    socket.pipe(upstream).pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  config.clusters[0]!.cluster.server = `https://127.0.0.1:${port}`;
  return {
    kubeconfig: JSON.stringify(config),
    async close() {
      if (!server.listening) return;
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
    async open() {
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
    },
  };
}
