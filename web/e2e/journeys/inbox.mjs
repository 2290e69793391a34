// The start page: what needs somebody, why, and the act that settles it; by keyboard, in two browsers, empty in the end.
import { ask } from "../approvals-seed.mjs";
import { seed } from "../seed.mjs";
import { expect } from "../walk.mjs";

export default async function inbox({ open, look, me, url }) {
  const world = await seed({ tasks: 12, asking: false });
  const page = await open("/", { width: 1440, height: 900 });
  await page.getByRole("heading", { name: "Inbox", level: 1 }).waitFor();
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();
  const other = await open("/", { width: 1440, height: 900 });
  await other.getByRole("status").filter({ hasText: "Live" }).waitFor();

  const waits = await me.post(`/api/v1/boards/${world.board.id}/tasks`, { title: "Announce the release", depends_on_task_ids: [world.tasks[0].id] });
  expect(waits.is_blocked, "one task waits for another");
  const [first] = await ask(me, world);
  await page.getByRole("heading", { name: /Waiting for your decision/ }).waitFor();
  await page.getByRole("link", { name: "Send email" }).first().waitFor();
  await page.getByRole("heading", { name: /Blocked tasks/ }).waitFor();
  await page.waitForFunction(() => document.title.startsWith("(4) Inbox"));
  await look(page, "full");

  // Walked and settled by keyboard; the other browser follows.
  await page.keyboard.press("j");
  const row = page.locator("li:focus");
  await row.waitFor();
  expect(/Send email/.test(await row.innerText()), "the first row has the focus");
  await page.keyboard.press("a");
  await page.getByText("Approved: Send email").waitFor();
  await page.locator(`[id="inbox-approval:${first.id}"]`).waitFor({ state: "detached" });
  await other.locator(`[id="inbox-approval:${first.id}"]`).waitFor({ state: "detached" });
  await other.waitForFunction(() => document.title.startsWith("(3)"));
  expect((await me.get(`/api/v1/boards/${world.board.id}/approvals?status=approved`)).items.some((one) => one.id === first.id), "it is approved");

  await page.keyboard.press("r");
  const dialog = page.getByRole("dialog", { name: /Reject/ });
  await dialog.getByLabel("Reason").fill("Show me the numbers first.");
  await dialog.getByRole("button", { name: "Reject" }).click();
  await page.waitForFunction(() => document.title.startsWith("(2)"));

  // A blocked task leads to the task; and is let go from here, for everybody.
  await page.locator(`[id="inbox-task:${waits.id}"]`).getByRole("link", { name: "Open the task" }).click();
  await page.waitForURL(`${url}/boards/${world.board.id}/tasks/${waits.id}`);
  await page.goBack();
  await page.locator(`[id="inbox-task:${waits.id}"]`).getByRole("button", { name: "Do not wait" }).click();
  const letGo = page.getByRole("dialog", { name: /Let “Announce the release” go on/ });
  await letGo.getByText(world.tasks[0].title, { exact: false }).waitFor();
  await look(page, "unblock");
  await letGo.getByRole("button", { name: "Do not wait" }).click();
  for (const one of [page, other]) await one.locator(`[id="inbox-task:${waits.id}"]`).waitFor({ state: "detached" });
  expect(!(await me.get(`/api/v1/tasks/${waits.id}`)).is_blocked, "the task waits no more");

  const narrow = await open("/", { width: 390, height: 844, touch: true });
  await narrow.getByRole("heading", { name: /Waiting for your decision/ }).waitFor();
  await look(narrow, "narrow");

  // Nothing left: an organization of its own.
  await me.post("/api/v1/organizations", { name: "Quiet office" });
  const quiet = await open("/", { width: 1440, height: 900 });
  await quiet.getByText("Nothing needs you now").waitFor();
  await look(quiet, "empty");
  expect(quiet.url() === `${url}/`, "the inbox is the start page");
}
