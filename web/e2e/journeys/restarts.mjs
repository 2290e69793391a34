// Broker and database go away and come back under open pages: that is said, what was typed stays, and then everything is exact without a reload.
import { until } from "../rest.mjs";
import { seed } from "../seed.mjs";
import { broker, database } from "../servers.mjs";
import { expect } from "../walk.mjs";

/** Longer than the stream may be silent before it is looked after, with the time a server takes to be there again. */
const PATIENCE = { timeout: 90_000 };

const state = (page, words) => page.getByRole("status").filter({ hasText: words });
const card = (page, id) => page.locator(`[data-task="${id}"]`);

export default async function restarts({ open, look, shot, check, me, url }) {
  const { board, tasks } = await seed({ tasks: 8 });
  const path = `/boards/${board.id}`;
  const options = { expect: [/Failed to load resource|503/] };
  const page = await open(path, options);
  const other = await open("/agents", options);
  await other.getByRole("row", { name: /Ada/ }).waitFor();
  for (const one of [page, other]) {
    await state(one, "Live").waitFor();
    await one.evaluate(() => (window.notReloaded = true));
  }

  // The broker crashes: what is written is kept, and comes as soon as it is back.
  await broker.kill();
  await state(page, "Reconnecting").waitFor(PATIENCE);
  await look(page, "broker");
  const written = await me.post(`/api/v1/boards/${board.id}/tasks`, { title: "Written while the broker was away" });
  await me.patch(`/api/v1/boards/${board.id}/tasks/${tasks[3].id}`, { title: "Renamed while the broker was away" });
  await broker.start();
  await state(page, "Live").waitFor(PATIENCE);
  await card(page, written.id).waitFor(PATIENCE);
  await card(page, tasks[3].id).filter({ hasText: "Renamed while the broker was away" }).waitFor(PATIENCE);
  expect((await card(page, written.id).count()) === 1, "it is there once");

  // The database is stopped. Who writes is told why, and keeps what was typed.
  await state(other, "Live").waitFor(PATIENCE);
  await page.keyboard.press("c");
  const dialog = page.getByRole("dialog", { name: "New task" });
  await dialog.getByLabel("Title").fill("Typed before the database went");
  await database.stop();
  await dialog.getByRole("button", { name: "Create task" }).click();
  await dialog.getByRole("alert").filter({ hasText: "database is not available" }).waitFor(PATIENCE);
  expect((await dialog.getByLabel("Title").inputValue()) === "Typed before the database went", "what was typed stays");
  await state(page, "Reconnecting").waitFor(PATIENCE);
  await shot(page, "database");
  await check(page, "database away");
  // Who comes now is told, and needs to do nothing more.
  await other.getByRole("link", { name: "Approvals" }).first().click();
  await other.getByText("database is not available").first().waitFor(PATIENCE);
  await look(other, "database-elsewhere");

  await database.start();
  await state(page, "Live").waitFor(PATIENCE);
  await other.getByText("Send email").first().waitFor(PATIENCE);
  await dialog.getByRole("button", { name: "Create task" }).click();
  await dialog.waitFor({ state: "detached", ...PATIENCE });
  await page.getByText("Typed before the database went").first().waitFor();
  const all = async () => (await me.get(`/api/v1/boards/${board.id}/tasks?limit=200`)).items;
  await until("it was written once", async () => (await all()).filter((task) => task.title === "Typed before the database went").length === 1);
  const after = await me.post(`/api/v1/boards/${board.id}/tasks`, { title: "Written after all" });
  await card(page, after.id).waitFor(PATIENCE);

  // Exact: every task that is there shows as it is.
  const shown = await page.evaluate(() => [...document.querySelectorAll("[data-task]")].map((one) => one.dataset.task));
  const there = (await all()).map((task) => task.id);
  expect(there.every((id) => shown.includes(id)) && shown.length === there.length, `the board shows ${shown.length} of ${there.length} tasks`);
  for (const one of [page, other]) expect(await one.evaluate(() => window.notReloaded === true), "without a reload");
  expect(page.url() === `${url}${path}`, "where it was");
}
