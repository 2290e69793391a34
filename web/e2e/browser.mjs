import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";

/** The browser's binary: CHROMIUM, or an installed one, or what `scripts/web browser` brought. */
export function browserPath() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    for (const folder of (process.env.PATH ?? "").split(delimiter)) if (existsSync(join(folder, name))) return join(folder, name);
  }
  const own = chromium.executablePath();
  if (existsSync(own)) return own;
  throw new Error("Chromium is missing: scripts/web browser brings it");
}
