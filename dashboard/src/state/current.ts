import { signal } from "@preact/signals";
import { isTokenShaped, tokenOfFragment } from "../model/token.ts";
import { Session } from "./session.ts";

/** The session of the token that the page has; none without a token. */
export const session = signal<Session | undefined>(undefined);
/** The UID of the pod whose details are open. */
export const openPod = signal<string | undefined>(undefined);

/**
 * Begins anew with that token. It is kept in memory alone: whatever is stored under a loopback
 * address can be read by the next program that listens there.
 */
export function beginSession(token: string): void {
  session.peek()?.close();
  session.value = new Session(token);
}

/** Takes the token out of the address, so that neither history nor bookmarks keep it. */
export function takeTokenOfAddress(): void {
  const token = tokenOfFragment(location.hash);
  if (location.hash) history.replaceState(null, "", location.pathname);
  if (token && isTokenShaped(token)) beginSession(token);
}
