import { signal } from "@preact/signals";

const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];
const KEY = "theme";

const theme = signal<Theme>(THEMES.find((name) => name === localStorage.getItem(KEY)) ?? "system");

export function applyTheme(): void {
  document.documentElement.dataset.theme = theme.value;
}

export function ThemeChoice() {
  const choose = (event: Event) => {
    theme.value = (event.currentTarget as HTMLSelectElement).value as Theme;
    localStorage.setItem(KEY, theme.value);
    applyTheme();
  };
  return (
    <label class="inline">
      Colours
      <select value={theme.value} onChange={choose}>
        {THEMES.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}
