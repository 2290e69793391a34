// Light, dark, or as the system says. `public/theme.js` does the same before the first paint.
import { Store, kept } from "./store";

export type Theme = "system" | "light" | "dark";

/** The chosen theme. */
export const theme = new Store<Theme>((kept.get("theme") as Theme | null) ?? "system");

/** Chooses a theme. */
export function setTheme(choice: Theme): void {
  kept.set("theme", choice === "system" ? null : choice);
  if (choice === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = choice;
  theme.set(choice);
}

/** Whether the navigation is narrow. */
export const sidebarClosed = new Store(kept.get("sidebar") === "closed");

/** Makes the navigation narrow or wide. */
export function toggleSidebar(): void {
  const closed = !sidebarClosed.get();
  kept.set("sidebar", closed ? "closed" : null);
  if (closed) document.documentElement.dataset["sidebar"] = "closed";
  else delete document.documentElement.dataset["sidebar"];
  sidebarClosed.set(closed);
}
