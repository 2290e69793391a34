// Signing in at an issuer: authorization code with PKCE, and the end of a sign-in over a page with typed text.
import { person, until } from "../rest.mjs";
import { seed } from "../seed.mjs";
import { expect } from "../walk.mjs";

const ISSUER = process.env.ISSUER_URL;

/** A token of somebody who did not come through the page. */
async function mint(who, seconds = 300) {
  return (await (await fetch(`${ISSUER}/mint?who=${who}&seconds=${seconds}`)).json()).token;
}

const again = (page) => page.getByRole("dialog", { name: "Sign in again" });
const signOn = (within) => within.getByRole("button", { name: "Continue with single sign-on" });

/** The next call of a method is made with a token that has ended. */
async function ends(page, method) {
  const ended = await mint("ada", -60);
  await page.route(`**/${method}`, (route) => route.continue({ headers: { ...route.request().headers(), authorization: `Bearer ${ended}` } }), { times: 1 });
}

/** Signs in as somebody in the window that opens for it, which closes by itself. */
async function signInBeside(page, who) {
  const [beside] = await Promise.all([page.context().waitForEvent("page"), signOn(again(page)).click()]);
  const closed = beside.waitForEvent("close");
  // Whoever hesitates at first tries again in the same window.
  await beside.getByRole("link", { name: "nobody" }).click();
  await beside.getByRole("alert").filter({ hasText: "Nobody was chosen." }).waitFor();
  await signOn(beside).click();
  await beside.getByRole("link", { name: who }).click();
  await closed;
}

export default async function singleSignOn({ open, look, shot, check, url }) {
  const ada = person(process.env.MC_URL, await mint("ada"));
  const { board } = await seed({ tasks: 6, me: ada });
  const options = { token: null, expect: [/401/] };

  // Nobody is chosen at the issuer: that is said, and nothing of it stays in the address.
  const page = await open(`/boards/${board.id}?view=list`, options);
  await signOn(page).waitFor();
  await look(page, "sign-in");
  await signOn(page).click();
  await page.getByRole("heading", { name: "Who are you?" }).waitFor();
  const asked = new URL(page.url()).searchParams;
  expect(asked.get("code_challenge_method") === "S256" && asked.get("code_challenge").length === 43, "the request carries a challenge");
  await page.getByRole("link", { name: "nobody" }).click();
  await page.getByRole("alert").filter({ hasText: "Nobody was chosen." }).waitFor();
  expect(page.url() === `${url}/auth/callback`, "the answer of the issuer does not stay in the address");
  await look(page, "refused");
  // An answer that nobody asked for signs nobody in.
  await page.goto(`${url}/auth/callback?code=stolen&state=made-up`);
  await page.getByRole("alert").filter({ hasText: "does not belong" }).waitFor();

  // Through: one lands where one wanted to be.
  await page.goto(`${url}/boards/${board.id}?view=list`);
  await signOn(page).click();
  await page.getByRole("link", { name: "ada" }).click();
  await page.getByRole("heading", { name: "Apollo launch", level: 1 }).waitFor();
  expect(page.url() === `${url}/boards/${board.id}?view=list`, "the deep link is where one lands");
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();
  const first = await page.evaluate(() => localStorage.getItem("mc.token"));
  await page.reload();
  await page.getByRole("heading", { name: "Apollo launch", level: 1 }).waitFor();

  // The sign-in ends while somebody types. It is renewed over the page; the text is there, and so is what happened meanwhile.
  await page.evaluate(() => (window.notReloaded = true));
  await page.keyboard.press("c");
  const dialog = page.getByRole("dialog", { name: "New task" });
  await dialog.getByLabel("Title").fill("Typed before the sign-in ended");
  await dialog.getByLabel("Description").fill("A long thought that nobody wants to write twice.");
  await ends(page, "CreateTask");
  await dialog.getByRole("button", { name: "Create task" }).click();
  await again(page).getByText("What you typed is still there.").waitFor();
  await look(page, "again");
  await ada.post(`/api/v1/boards/${board.id}/tasks`, { title: "Written meanwhile" });
  // A browser that opens no window says what to do.
  await page.evaluate(() => {
    window.reallyOpen = window.open;
    window.open = () => null;
  });
  await signOn(again(page)).click();
  await again(page).getByRole("alert").filter({ hasText: "Allow windows" }).waitFor();
  await shot(page, "blocked");
  await check(page, "a blocked window");
  await page.evaluate(() => (window.open = window.reallyOpen));
  await signInBeside(page, "ada");
  await again(page).waitFor({ state: "detached" });
  expect((await dialog.getByLabel("Title").inputValue()) === "Typed before the sign-in ended", "the title is still there");
  expect((await dialog.getByLabel("Description").inputValue()).startsWith("A long thought"), "the description is still there");
  await page.getByText("Written meanwhile").first().waitFor();
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();
  await dialog.getByRole("button", { name: "Create task" }).click();
  await until("the task is there, once", async () => (await ada.get(`/api/v1/boards/${board.id}/tasks`)).items.filter((task) => task.title === "Typed before the sign-in ended").length === 1);
  expect((await page.evaluate(() => localStorage.getItem("mc.token"))) !== first, "it is another token");
  expect(await page.evaluate(() => window.notReloaded === true), "without a reload");

  // Somebody else signs in over the page: nothing of the first person's is left on it.
  await page.keyboard.press("c");
  await dialog.getByLabel("Title").fill("Not for others");
  await ends(page, "CreateTask");
  await dialog.getByRole("button", { name: "Create task" }).click();
  await again(page).waitFor();
  await signInBeside(page, "eve");
  await again(page).waitFor({ state: "detached" });
  await page.getByText("Not for you to see").waitFor();
  expect((await page.getByText("Apollo launch").count()) === 0 && (await dialog.count()) === 0, "nothing of the first person is left");

  // Signing out leads back to the issuer's door.
  await page.getByRole("button", { name: "Account" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await signOn(page).waitFor();
  expect((await page.evaluate(() => localStorage.getItem("mc.token"))) === null, "no token is left");
}
