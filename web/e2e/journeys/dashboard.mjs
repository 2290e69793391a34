// How the work goes: figures and series, over ranges, of everything, a group or a board; exact after a change by somebody else.
import { ask } from "../approvals-seed.mjs";
import { seed } from "../seed.mjs";
import { expect } from "../walk.mjs";

export default async function dashboard({ open, look, me, url }) {
  const world = await seed({ tasks: 26, asking: false });
  await ask(me, world);
  const page = await open("/dashboard", { width: 1440, height: 1000 });
  const figure = (name) => page.locator("dl > div", { has: page.getByText(name, { exact: true }) }).locator("dd > span").first();
  await page.getByRole("group", { name: "Tasks done" }).waitFor();
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();
  await look(page, "all");

  // The figures are those of the API, and follow a change by somebody else.
  const progress = async () => (await me.get("/api/v1/metrics/dashboard?range_key=7d")).kpis.in_progress_tasks;
  const before = await progress();
  await page.waitForFunction((count) => [...document.querySelectorAll("dl > div")].some((one) => one.textContent.startsWith(`In progress${count}`)), before);
  const task = world.tasks.find((one) => one.status === "inbox" && one.blocked_by_task_ids.length === 0);
  await me.patch(`/api/v1/boards/${world.board.id}/tasks/${task.id}`, { status: "in_progress", assigned_agent_id: world.agents[0].id });
  await page.waitForFunction((count) => [...document.querySelectorAll("dl > div")].some((one) => one.textContent.startsWith(`In progress${count}`)), before + 1);

  // A chart is read by keyboard.
  await page.getByRole("group", { name: "Tasks done" }).focus();
  await page.keyboard.press("End");
  await page.getByRole("status").filter({ hasText: "Done" }).waitFor();
  await page.keyboard.press("Escape");

  // Board by board; a click goes down to one.
  const boards = page.locator("section", { has: page.getByRole("heading", { name: "By board" }) });
  await boards.getByRole("button", { name: "Customer support" }).click();
  await page.waitForURL(/board=/);
  await page.getByRole("button", { name: /^Boards/ }).click();
  await page.getByRole("option", { name: "All boards" }).click();
  await boards.getByRole("link", { name: "Open the board Apollo launch" }).waitFor();

  // Down to a board, over another range; both are part of the address.
  await page.getByRole("button", { name: /^Boards/ }).click();
  await page.getByRole("option", { name: /Customer support/ }).click();
  await page.getByRole("button", { name: "24 h" }).click();
  await page.waitForURL(/board=.*range=24h|range=24h.*board=/);
  await page.waitForFunction(() => [...document.querySelectorAll("dl > div")].some((one) => one.textContent.startsWith("In progress0")));
  await look(page, "board");
  await page.reload();
  await page.getByRole("button", { name: "24 h", pressed: true }).waitFor();
  expect((await figure("In progress").innerText()) === "0", "the address carries board and range");
  await page.getByRole("button", { name: /^Boards/ }).click();
  await page.getByRole("option", { name: /Growth/ }).click();
  await page.waitForURL(/group=/);

  const narrow = await open("/dashboard", { width: 390, height: 844, touch: true });
  await narrow.getByRole("group", { name: "Tasks done" }).waitFor();
  await look(narrow, "narrow");

  await me.post("/api/v1/organizations", { name: "New office" });
  const fresh = await open("/dashboard");
  await fresh.getByText("Nothing to count yet").waitFor();
  await look(fresh, "empty");
  expect(fresh.url() === `${url}/dashboard`, "it stays where it is");
}
