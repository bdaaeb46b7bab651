import type { Status } from "./types.ts";

export type FailureKind =
  | "proxy-away" // nothing listens at the page's own address
  | "api-away" // kubectl proxy answers, the API behind it does not
  | "unauthorized" // no account has this token, or no longer
  | "forbidden"
  | "expired" // 410: the resource version or the continue token is too old
  | "refused"; // any other answer that is no success

/** A request without the wanted answer. Its message is a sentence for the person at the page. */
export class Failure extends Error {
  constructor(
    readonly kind: FailureKind,
    message: string,
    /** The answer's HTTP status; 0 where there was none. */
    readonly status = 0,
  ) {
    super(message);
  }

  /** Whether it concerns every request, whatever it was for. */
  get isGeneral(): boolean {
    return this.kind === "proxy-away" || this.kind === "api-away" || this.kind === "unauthorized";
  }

  /** Whether another token is needed before anything else can succeed. */
  get needsToken(): boolean {
    return this.kind === "unauthorized";
  }
}

const MAX_DETAIL_CHARS = 300;

/**
 * What the request was for completes the sentence "The token's account may not …". `behindApi`: a
 * kubelet or a service answered, by the API's proxy, and not the API itself.
 */
export function failureOfAnswer(
  status: number,
  body: string,
  purpose: string,
  behindApi = false,
): Failure {
  const { isStatus, message } = readMessage(body);
  const detail = message ? ` ${sentence(message)}` : "";
  const failure = (kind: FailureKind, text: string) => new Failure(kind, text, status);
  if (status === 401) {
    return failure("unauthorized", "The Kubernetes API does not accept the token.");
  }
  if (status === 403 && !isStatus) {
    return failure("refused", `kubectl proxy does not let the page ${purpose}.`);
  }
  if (status === 403) {
    return failure("forbidden", `The token's account may not ${purpose}.${detail}`);
  }
  if (status === 410) return failure("expired", `The list is out of date.${detail}`);
  // kubectl proxy answers in plain text, with 500 or 502, where it reaches no API.
  if (status >= 500 && !isStatus && !behindApi) {
    return failure("api-away", `The Kubernetes API does not answer.${detail}`);
  }
  return failure("refused", `The page could not ${purpose} (status ${status}).${detail}`);
}

export function failureOfConnection(): Failure {
  return new Failure(
    "proxy-away",
    "kubectl proxy does not answer. If scripts/dashboard.sh has ended, start it again.",
  );
}

/** The sentence in an error of the Kubernetes API, of an app ({"error": "…"}), or the text as it is. */
function readMessage(body: string): { isStatus: boolean; message: string } {
  try {
    const answer = JSON.parse(body) as (Partial<Status> & { error?: unknown }) | null;
    if (answer?.kind === "Status") return { isStatus: true, message: answer.message ?? "" };
    if (typeof answer?.error === "string") return { isStatus: false, message: answer.error };
  } catch {
    // No JSON: kubectl proxy's own answer, or that of a service.
  }
  return { isStatus: false, message: body };
}

/** The text as one bounded sentence: a capital first, a full stop last. */
export function sentence(text: string): string {
  let line = text.trim().replace(/\s+/g, " ");
  if (line.length > MAX_DETAIL_CHARS) line = `${line.slice(0, MAX_DETAIL_CHARS - 1)}…`;
  if (line === "") return "";
  return line[0]!.toUpperCase() + line.slice(1) + (/[.!?…]$/.test(line) ? "" : ".");
}
