import type { Terminated } from "../kube/types.ts";

/** What the shim's exit codes mean: docs/operations.md, "Exit codes of an app". */
const APP_EXIT_CODES: Record<number, string> = {
  64: "the app's definition is not right",
  65: "a component is not right",
  66: "what was given from outside is not right",
  67: "the app cannot listen",
  68: "the image cannot be read",
  70: "the shim failed; please report it",
};

const SIGNALS: Record<number, string> = {
  6: "SIGABRT, it aborted",
  9: "SIGKILL, it was killed",
  11: "SIGSEGV, it used memory that is not its own",
  15: "SIGTERM, it was asked to stop",
};

const MAX_MESSAGE_CHARS = 400;

/** How a container ended, without its name: "ended with exit code 66: …". */
export function describeExit(end: Terminated, underShim: boolean): string {
  const message = lastLine(end.message);
  const said = message ? ` It said: “${message}”` : "";
  return `${describeCode(end, underShim)}.${said}`;
}

function describeCode({ exitCode, reason, signal }: Terminated, underShim: boolean): string {
  if (reason === "OOMKilled") return "was killed because it used more memory than its limit";
  if (reason === "ContainerStatusUnknown") return "ended while its node did not answer";
  if (exitCode === 0) return "ended by itself with exit code 0";
  const meaning = underShim ? APP_EXIT_CODES[exitCode] : undefined;
  if (meaning) return `ended with exit code ${exitCode}: ${meaning}`;
  const number = signal || (exitCode > 128 && exitCode < 160 ? exitCode - 128 : 0);
  if (number) return `ended by ${SIGNALS[number] ?? `signal ${number}`} (exit code ${exitCode})`;
  return `ended with exit code ${exitCode}`;
}

/** The last line that says something: the shim writes the reason of a failed start as one. */
function lastLine(text: string | undefined): string {
  const lines = (text ?? "").split("\n").map((line) => line.trim());
  const line = lines.filter((line) => line !== "").at(-1) ?? "";
  return line.length > MAX_MESSAGE_CHARS ? `${line.slice(0, MAX_MESSAGE_CHARS - 1)}…` : line;
}
