import { signal } from "@preact/signals";

const TICK_MS = 5000;

/** The time that ages are shown for. */
export const now = signal(Date.now());
setInterval(() => (now.value = Date.now()), TICK_MS);
