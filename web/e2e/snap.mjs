// Pictures of places, for looking: node e2e/snap.mjs OUT URL PATH... (dark with DARK=1, narrow with WIDTH=390)
import { chromium } from "playwright-core";
import { browserPath } from "./browser.mjs";

const [out, url, ...paths] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: browserPath(), args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: Number(process.env.WIDTH ?? 1280), height: Number(process.env.HEIGHT ?? 800) }, colorScheme: process.env.DARK ? "dark" : "light", reducedMotion: "reduce" });
await context.addInitScript((token) => localStorage.setItem("mc.token", token), process.env.MC_TOKEN ?? "test-token-0123456789-0123456789-0123456789-0123456789");
for (const [index, path] of paths.entries()) {
  const page = await context.newPage();
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && console.log(message.type(), message.text()));
  page.on("pageerror", (error) => console.log("error", error.message));
  await page.goto(url + path);
  await page.waitForTimeout(Number(process.env.WAIT ?? 1500));
  await page.screenshot({ path: `${out}-${index}.png` });
}
await browser.close();
