import { useComputed } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { Failure } from "../kube/failure.ts";
import { formatAge } from "../model/format.ts";
import type { Level, PodState } from "../model/pod-state.ts";
import { now } from "../state/clock.ts";
import type { Health } from "../state/collection.ts";

const MARKS: Record<Level, string> = { ok: "●", waiting: "◐", failed: "▲", done: "✓" };

/** A state: its mark and words, so that it never depends on colour alone; its reason below. */
export function State({ state }: { state: PodState }) {
  return (
    <div class="state">
      <span class={`badge ${state.level}`}>
        <span aria-hidden="true">{MARKS[state.level]}</span> {state.title}
      </span>
      {state.reason && <span class="reason">{state.reason}</span>}
    </div>
  );
}

/** Changes its text alone, not its row, when time goes on. */
export function Age({ since }: { since: string | null | undefined }) {
  const text = useComputed(() => formatAge(since, now.value));
  return <time dateTime={since ?? ""}>{text}</time>;
}

/** A panel with its heading; says so while its objects are not there yet. */
export function Panel(props: {
  id: string;
  title: string;
  extra?: ComponentChildren;
  health?: Health;
  children: ComponentChildren;
}) {
  // What concerns the whole page stands above all panels.
  const failure =
    props.health instanceof Failure && !props.health.isGeneral ? props.health : undefined;
  return (
    <section id={props.id} class="panel" aria-labelledby={`${props.id}-title`}>
      <header>
        <h2 id={`${props.id}-title`}>{props.title}</h2>
        {props.extra}
      </header>
      {props.health === "loading" && <p class="quiet">Loading…</p>}
      {failure && <p class="problem">{failure.message}</p>}
      {props.children}
    </section>
  );
}

/** The name of a column; of one with numbers, which stand at the right; `false` for one that is left out. */
export type Column = string | { number: string } | false;

/** A table that scrolls within its panel; the keyboard reaches it, too. */
export function Table(props: {
  label: string;
  columns: Column[];
  class?: string;
  /** Below the table. */
  end?: ComponentChildren;
  /** The rows. */
  children: ComponentChildren;
}) {
  return (
    <div class="scroll" role="group" aria-label={props.label} tabIndex={0}>
      <table class={props.class}>
        <thead>
          <tr>{props.columns.map(head)}</tr>
        </thead>
        <tbody>{props.children}</tbody>
      </table>
      {props.end}
    </div>
  );
}

function head(column: Column) {
  if (column === false) return null;
  const isNumber = typeof column !== "string";
  const name = isNumber ? column.number : column;
  return (
    <th key={name} scope="col" class={isNumber ? "number" : undefined}>
      {name}
    </th>
  );
}
