/** When a service account's token ends, in milliseconds; nothing where it is no such token. */
export function expiryOf(token: string): number | undefined {
  try {
    const payload = token.split(".")[1] ?? "";
    const claims = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/"))) as unknown;
    const expiry = (claims as { exp?: unknown } | null)?.exp;
    return typeof expiry === "number" ? expiry * 1000 : undefined;
  } catch {
    return undefined;
  }
}

/** The token in the address's fragment, #token=…, which browsers send to no server. */
export function tokenOfFragment(fragment: string): string | undefined {
  return new URLSearchParams(fragment.replace(/^#/, "")).get("token") ?? undefined;
}

/** Whether the text can be a token at all: header values take no other characters. */
export function isTokenShaped(text: string): boolean {
  return /^[\x21-\x7e]{1,16384}$/.test(text);
}
