import { MAX_SAMPLES, type Sample, type Series } from "../model/samples.ts";

const WIDTH = 600;
const HEIGHT = 120;
/** The time that the plot shows, whatever it has samples of. */
const SPAN_MS = MAX_SAMPLES * 10_000;

export interface Line {
  label: string;
  series: Series;
}

/**
 * Lines over the last minutes, as SVG: sixty points a line need no library, the page's own style
 * colours them, and the text is there for screen readers.
 */
export function Plot(props: {
  title: string;
  lines: Line[];
  value: (sample: Sample) => number | undefined;
  format: (value: number | undefined) => string;
}) {
  const { title, lines, value, format } = props;
  const all = lines.flatMap(({ series }) => series.flatMap((sample) => value(sample) ?? []));
  const top = roundUp(Math.max(0, ...all));
  const end = Math.max(0, ...lines.map(({ series }) => series.at(-1)?.time ?? 0));
  const latest = (series: Series) => {
    const sample = series.at(-1);
    return format(sample && value(sample));
  };
  const spoken = lines.map(({ label, series }) => `${label} ${latest(series)}`).join(", ");
  return (
    <figure class="plot">
      <figcaption>{title}</figcaption>
      <div class="axis" aria-hidden="true">
        <span>{all.length > 0 ? format(top) : "no data yet"}</span>
        <span>0</span>
      </div>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${title} over the last ten minutes; now: ${spoken}`}
      >
        <path class="grid" d={`M0 0H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT}H${WIDTH}`} />
        {lines.map(({ label, series }, index) => (
          <path key={label} class={`line line-${index}`} d={pathOf(series, value, end, top)} />
        ))}
      </svg>
      <ul class="legend">
        {lines.map(({ label, series }, index) => (
          <li key={label}>
            <span class={`swatch line-${index}`} aria-hidden="true" /> {label}{" "}
            <b>{latest(series)}</b>
          </li>
        ))}
      </ul>
    </figure>
  );
}

/** A line from sample to sample, broken where a value is missing. */
export function pathOf(
  series: Series,
  value: (sample: Sample) => number | undefined,
  end: number,
  top: number,
): string {
  let path = "";
  let pen = "M";
  for (const sample of series) {
    const height = value(sample);
    if (height === undefined) {
      pen = "M";
      continue;
    }
    const x = WIDTH - ((end - sample.time) / SPAN_MS) * WIDTH;
    const y = HEIGHT - (height / top) * HEIGHT;
    path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  }
  return path;
}

/** The next power of two, or three quarters of it: bytes and thousandths of a processor alike. */
export function roundUp(value: number): number {
  if (!(value > 0)) return 1;
  const power = 2 ** Math.ceil(Math.log2(value));
  return power * 0.75 >= value ? power * 0.75 : power;
}
