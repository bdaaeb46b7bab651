import { Failure, failureOfAnswer, failureOfConnection } from "./failure.ts";

const TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io.";
const REQUEST_TIMEOUT_MS = 15_000;

export interface Stream {
  close(): void;
}

export interface StreamHandlers {
  onText(text: string): void;
  /** Once, at the end that is not `close`. `opened`: whether the API had accepted the request. */
  onEnd(opened: boolean): void;
}

/**
 * The Kubernetes API as `kubectl proxy` serves it at the page's own address. The token is sent in
 * a header and is part of no address.
 *
 * Streams are WebSockets: a browser opens at most six HTTP/1.1 connections to a server, over all
 * tabs, and each watch would hold one.
 */
export class Api {
  constructor(
    private readonly token: string,
    private readonly origin: string = location.origin,
  ) {}

  /** The purpose completes "The token's account may not …". */
  async json<T>(path: string, purpose: string, init: RequestInit = {}): Promise<T> {
    const text = await this.text(path, purpose, init);
    try {
      return JSON.parse(text) as T;
    } catch {
      throw new Failure("refused", `The page could not ${purpose}: the answer is no JSON.`);
    }
  }

  async text(path: string, purpose: string, init: RequestInit = {}): Promise<string> {
    let status: number;
    let body: string;
    try {
      const answer = await fetch(this.origin + path, {
        ...init,
        headers: { ...init.headers, authorization: `Bearer ${this.token}` },
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        cache: "no-store",
        redirect: "error",
      });
      status = answer.status;
      body = await answer.text();
    } catch (error) {
      if (error instanceof DOMException && error.name === "TimeoutError") {
        throw new Failure("api-away", "The Kubernetes API has not answered for 15 seconds.");
      }
      throw failureOfConnection();
    }
    if (status >= 200 && status < 300) return body;
    throw failureOfAnswer(status, body, purpose, path.includes("/proxy/"));
  }

  stream(path: string, handlers: StreamHandlers): Stream {
    const protocols = [TOKEN_PROTOCOL + base64url(this.token), "binary.k8s.io"];
    const socket = new WebSocket(this.origin.replace(/^http/, "ws") + path, protocols);
    // A watch sends text frames, a log binary ones: a character may be split between two.
    const decoder = new TextDecoder();
    let opened = false;
    let closed = false;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => (opened = true);
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (closed) return;
      handlers.onText(typeof data === "string" ? data : decoder.decode(data, { stream: true }));
    };
    socket.onclose = () => {
      if (closed) return;
      closed = true;
      handlers.onEnd(opened);
    };
    return {
      close() {
        closed = true;
        socket.close();
      },
    };
  }
}

function base64url(text: string): string {
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
