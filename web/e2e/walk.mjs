// What journeys have in common: a signed-in page, pictures, accessibility, and that nothing went wrong unseen.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { wire } from "./proxy.mjs";
import { person } from "./rest.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TOKEN = process.env.MC_TOKEN;
// Where people sign in, when the journey has an issuer.
const ISSUER = process.env.ISSUER_URL;

/** Walks a journey. It gets `open`, `shot`, `check`, `look`, `me`, and `line`, which can be cut; whatever the page logs as an error, or asks of another origin, fails it. */
export async function walk(browser, name, shots, journey) {
  const line = await wire(process.env.MC_URL);
  const URL_ = line.url;
  const troubles = [];
  const contexts = [];
  /** A browser of its own, signed in unless `token` is null. */
  const open = async (path = "/", { token = TOKEN, width = 1280, height = 800, dark = false, touch = false, expect = [] } = {}) => {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light", hasTouch: touch, reducedMotion: "reduce", locale: "en-GB", timezoneId: "Europe/Berlin" });
    contexts.push(context);
    if (token) {
      await context.addInitScript((value) => {
        if (location.protocol === "about:") return;
        if (!sessionStorage.getItem("seeded")) {
          localStorage.setItem("mc.token", value);
          sessionStorage.setItem("seeded", "1");
        }
      }, token);
    }
    const watch = (page) => {
      page.setDefaultTimeout(15000);
      page.on("pageerror", (error) => troubles.push(`error on ${page.url()}: ${error.message}`));
      page.on("console", (message) => {
        if (message.type() === "error" && !expect.some((pattern) => pattern.test(message.text()))) troubles.push(`console on ${page.url()}: ${message.text()}`);
      });
      page.on("request", (request) => {
        const url = request.url();
        if (!url.startsWith(URL_) && !url.startsWith("data:") && !url.startsWith("blob:") && !(ISSUER && url.startsWith(ISSUER))) troubles.push(`foreign request: ${url}`);
      });
      return page;
    };
    context.on("page", watch);
    const page = await context.newPage();
    await page.goto(URL_ + path);
    return page;
  };
  /** A picture of the page, after fonts and what moves. */
  const shot = async (page, label) => {
    await page.evaluate(() => document.fonts.ready);
    await page.waitForTimeout(150);
    await page.screenshot({ path: `${shots}${name}-${label}.png` });
  };
  /** Nothing serious for axe, in the scheme the page is in, and nothing wider than the window. */
  const check = async (page, label, rules = true) => {
    await page.waitForTimeout(250);
    // Past the page's policy, as the developer tools would.
    if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe);
    const found = await page.evaluate(async (all) => {
      const runOnly = all ? ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] : { type: "rule", values: ["color-contrast"] };
      const result = await globalThis.axe.run(document, { runOnly, resultTypes: ["violations"] });
      return result.violations.filter((one) => ["serious", "critical"].includes(one.impact)).map((one) => `${one.id}: ${one.help}\n    ${one.nodes.slice(0, 4).map((node) => `${node.target.join(" ")} ${node.failureSummary?.replace(/\s+/g, " ").slice(0, 220)}`).join("\n    ")}`);
    }, rules);
    for (const one of found) troubles.push(`axe on ${label}: ${one}`);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (overflow > 1) troubles.push(`${label} is ${overflow} px wider than the window`);
  };
  /** Picture and check, light and dark. */
  const look = async (page, label) => {
    for (const scheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
      await shot(page, `${label}-${scheme}`);
      // The same elements in other colours: only those are looked at again.
      await check(page, `${label}, ${scheme}`, scheme === "light");
    }
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  };
  let failure;
  try {
    await journey({ open, shot, check, look, me: person(), line, url: URL_, token: TOKEN, browser });
  } catch (error) {
    failure = error;
    let n = 0;
    for (const context of contexts) for (const page of context.pages()) await page.screenshot({ path: `${shots}${name}-failed-${(n += 1)}.png` }).catch(() => undefined);
  }
  for (const context of contexts) await context.close();
  await line.cut();
  if (failure) throw new Error(`${failure.message}\n${troubles.join("\n")}`, { cause: failure });
  if (troubles.length > 0) throw new Error([...new Set(troubles)].join("\n"));
}

/** Fails with words. */
export function expect(condition, words) {
  if (!condition) throw new Error(`not so: ${words}`);
}
