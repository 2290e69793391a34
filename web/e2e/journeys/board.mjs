// The heart: a board at work, by mouse, finger and keyboard, with somebody else on it.
import { person, until } from "../rest.mjs";
import { seed } from "../seed.mjs";
import { expect } from "../walk.mjs";

const column = (page, name) => page.getByRole("region", { name, exact: false }).filter({ has: page.getByRole("heading", { name, level: 2 }) });
const card = (page, id) => page.locator(`[data-task="${id}"]`);

/** Waits until a card is in a column. */
async function isIn(page, id, status) {
  await page.locator(`[data-column="${status}"] [data-task="${id}"]`).waitFor();
}

async function drag(page, id, status) {
  await card(page, id).scrollIntoViewIfNeeded();
  const from = await card(page, id).boundingBox();
  const to = await page.locator(`[data-column="${status}"]`).boundingBox();
  await page.mouse.move(from.x + 40, from.y + 20);
  await page.mouse.down();
  await page.mouse.move(from.x + 60, from.y + 30, { steps: 3 });
  await page.mouse.move(to.x + to.width / 2, to.y + 120, { steps: 8 });
  await page.mouse.up();
}

export default async function board({ open, look, shot, check, url }) {
  const me = person();
  const { board, tasks, tags } = await seed();
  const path = `/boards/${board.id}`;
  const page = await open(path);
  await column(page, "Inbox").waitFor();
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();
  await look(page, "board");

  // Four columns fit a laptop.
  const done = await page.locator('[data-column="done"]').boundingBox();
  expect(done.x + done.width <= 1280, "Done is on the screen at 1280");

  // By mouse, and it is so on the server.
  const first = tasks.find((task) => task.status === "inbox" && !task.is_blocked);
  await drag(page, first.id, "in_progress");
  await isIn(page, first.id, "in_progress");
  await until("the server has moved it", async () => (await me.get(`/api/v1/tasks/${first.id}`)).status === "in_progress");
  await page.keyboard.press("Control+z");
  await isIn(page, first.id, "inbox");

  // By keyboard; the focus goes with the card.
  await card(page, first.id).focus();
  await page.keyboard.press("Shift+ArrowRight");
  await isIn(page, first.id, "in_progress");
  await until("the focus is on the moved card", () => page.evaluate((id) => document.activeElement?.dataset.task === id, first.id));
  await page.keyboard.press("ArrowDown");
  expect(await page.evaluate(() => document.activeElement?.dataset.task !== undefined), "arrow keys go from card to card");

  // A rule refuses: back it goes, with the reason in words.
  const blocked = (await me.get(`/api/v1/boards/${board.id}/tasks`)).items.find((task) => task.is_blocked);
  await card(page, blocked.id).scrollIntoViewIfNeeded();
  await drag(page, blocked.id, "done");
  await page.getByRole("alert").filter({ hasText: "was not moved to Done" }).waitFor();
  await page.getByRole("alert").filter({ hasText: "It waits for" }).waitFor();
  await isIn(page, blocked.id, "inbox");
  await shot(page, "refused");

  // Somebody else moves a card: it is there at once, and says who. The board is not reloaded.
  const other = await open(path);
  await column(other, "Inbox").waitFor();
  await other.getByRole("status").filter({ hasText: "Live" }).waitFor();
  await me.patch(`/api/v1/boards/${board.id}/tasks/${tasks[3].id}`, { title: "Renamed by somebody" });
  for (const one of [page, other]) await card(one, tasks[3].id).filter({ hasText: "Renamed by somebody" }).waitFor();
  const made = await me.post(`/api/v1/boards/${board.id}/tasks`, { title: "Came from elsewhere" });
  for (const one of [page, other]) await card(one, made.id).waitFor();
  await me.delete(`/api/v1/boards/${board.id}/tasks/${made.id}`);
  for (const one of [page, other]) await card(one, made.id).waitFor({ state: "detached" });

  // Filters live in the address.
  await page.getByLabel("Filter tasks").fill("invoices");
  await page.getByRole("status").filter({ hasText: /^2 of/ }).waitFor();
  expect(page.url().includes("q=invoices"), "the filter is in the address");
  await page.getByRole("button", { name: "Clear filters" }).click();
  await page.getByRole("button", { name: "Tags" }).click();
  await page.getByRole("option", { name: "urgent" }).click();
  await page.keyboard.press("Escape");
  expect(page.url().includes(`tag=${tags[2].id}`), "the tag is in the address");
  await page.reload();
  await page.getByRole("button", { name: "Tags" }).filter({ hasText: "urgent" }).waitFor();
  await page.getByRole("button", { name: "Clear filters" }).click();

  // The list.
  await page.getByRole("button", { name: "List", exact: true }).click();
  await page.getByRole("heading", { name: "In progress", level: 2 }).waitFor();
  await look(page, "list");
  await page.getByRole("button", { name: "Board", exact: true }).click();

}
