// Runs one journey: node e2e/run.mjs NAME, with MC_URL, MC_TOKEN, GATEWAY_URL and GATEWAY_TOKEN set. Leaves pictures in web/screenshots.
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";
import { browserPath } from "./browser.mjs";
import { walk } from "./walk.mjs";

const [name] = process.argv.slice(2);
const shots = new URL("../screenshots/", import.meta.url).pathname;
mkdirSync(shots, { recursive: true });
const journey = await import(`./journeys/${name}.mjs`);
const browser = await chromium.launch({ executablePath: browserPath(), args: ["--no-sandbox", "--disable-dev-shm-usage"] });
try {
  await walk(browser, name, shots, journey.default);
  console.log(`${name}: ok`);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
