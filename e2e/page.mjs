// Uses the page in Chromium as a person would: a wrong token, the right one, the list of boards, a reload, sign-out.
//
//   node e2e/page.mjs URL TOKEN SCREENSHOT_FOLDER BOARD_NAME
//
// CHROMIUM is the browser's binary, PLAYWRIGHT the folder whose node_modules has playwright-core. Prints what it saw; a step that fails
// ends it with status 1.
import { createRequire } from "node:module";
import { join } from "node:path";

const [url, token, folder, board] = process.argv.slice(2);
const { chromium } = createRequire(join(process.env.PLAYWRIGHT, "package.json"))("playwright-core");

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
});
const problems = [];
const calls = [];
const open = async (options) => {
  const page = await (await browser.newContext(options)).newPage();
  page.on("pageerror", (error) => problems.push(`page error: ${error.message}`));
  page.on("request", (request) => {
    const target = new URL(request.url());
    if (target.origin !== new URL(url).origin) problems.push(`foreign request: ${target}`);
    if (target.pathname.includes("BoardService")) calls.push({ path: target.pathname, type: request.headers()["content-type"] });
  });
  await page.goto(url);
  return page;
};
const check = (holds, what) => {
  if (!holds) throw new Error(`not so: ${what}`);
  console.log(what);
};

try {
  const page = await open({ viewport: { width: 1280, height: 800 } });
  await page.getByLabel("Access token").fill("not-the-token-not-the-token-not-the-token-not-the-token");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("#sign-in-error").waitFor({ state: "visible" });
  check((await page.locator("#sign-in-error").innerText()).length > 10, "a wrong token is refused in words");
  await page.screenshot({ path: join(folder, "sign-in-refused.png") });

  await page.getByLabel("Access token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText(board).first().waitFor();
  check(calls.some((call) => call.type?.startsWith("application/grpc-web")), "boards came through gRPC-web");
  check(!page.url().includes(token), "the token is not in the address");
  await page.screenshot({ path: join(folder, "boards-light.png"), fullPage: true });

  await page.reload();
  await page.getByText(board).first().waitFor();
  check(true, "a reload keeps the sign-in");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Access token").waitFor();
  check((await page.evaluate(() => JSON.stringify(sessionStorage) + JSON.stringify(localStorage))).includes(token) === false, "signing out forgets the token");

  const small = await open({ viewport: { width: 390, height: 844 }, colorScheme: "dark" });
  await small.getByLabel("Access token").fill(token);
  await small.keyboard.press("Enter");
  await small.getByText(board).first().waitFor();
  check(await small.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "390 pixels are wide enough");
  await small.screenshot({ path: join(folder, "boards-dark-390.png"), fullPage: true });
  check(problems.length === 0, "no error and no foreign request");
} catch (error) {
  console.error(error.message, problems);
  process.exitCode = 1;
} finally {
  await browser.close();
}
