import { render } from "preact";
import "./style.css";
import { applyTheme } from "./ui/theme.tsx";
import { Page } from "./ui/page.tsx";
import { takeTokenOfAddress } from "./state/current.ts";

const root = document.getElementById("page")!;
applyTheme();
// Only a header could forbid frames, and `kubectl proxy` sends none: a framed page shows nothing.
if (window.top === window.self) {
  takeTokenOfAddress();
  // The printed address, opened again in the same tab, only changes the fragment.
  addEventListener("hashchange", takeTokenOfAddress);
  render(<Page />, root);
} else {
  root.textContent = "This page does not work inside of another one.";
}
