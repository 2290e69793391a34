// A member who may read every board and change none: everything is there to read, and nothing pretends that it could be changed.
import { until } from "../rest.mjs";
import { seed } from "../seed.mjs";
import { expect } from "../walk.mjs";

/** What changes something, by its name; none of it is on a reader's pages. */
const ACTS = /^(Approve(?!d)|Reject(?!ed)|New |Create|Add |Save|Delete|Edit |Pause|Resume|Undo|Invite|Remove|Send$|Wake|Nudge|Select: |Unblock|Deliver|Check$|Write a comment)/;

/** What can be pressed or written into on the page that is open, its navigation left out. */
const offered = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll("main :is(button, input, textarea, select, [role=menuitem]):not(:disabled, [readonly]), [popover] [role=menuitem]")]
      .filter((one) => one.checkVisibility())
      .map((one) => (one.getAttribute("aria-label") ?? one.labels?.[0]?.textContent ?? one.textContent ?? "").trim()),
  );

export default async function reader({ open, look, me, url }) {
  const { board, boards, group, tasks } = await seed();
  await me.post("/api/v1/organizations/me/custom-fields", { field_key: "client", label: "Client", field_type: "text", board_ids: [board.id] });
  const { key } = await me.post("/api/v1/organizations/me/api-keys", { name: "A reader", role: "member", scope: "read" });
  const page = await open("/", { token: key, width: 1440, height: 900, expect: [/403/] });
  const at = async (path, there) => {
    await page.goto(url + path);
    await there().first().waitFor();
    // Until rights are known the page thinks well of people.
    let acts;
    const none = async () => (acts = (await offered(page)).filter((name) => ACTS.test(name))).length === 0;
    await until("nothing to change", none, 5000).catch(() => expect(false, `${path.replaceAll(/[0-9a-f-]{36}/g, "…")} offers a reader nothing to change, but there is: ${acts.join(", ")}`));
  };
  const text = (words) => () => page.getByText(words);
  const heading = (name) => () => page.getByRole("heading", { name, level: 1 });
  // Rights are known before anything is looked at.
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();

  await at("/", text("Send email"));
  await look(page, "inbox");
  await at("/approvals", text("Send email"));
  await look(page, "approvals");
  await at("/dashboard", heading("Dashboard"));
  await at("/boards", () => page.getByRole("link", { name: "Apollo launch" }));
  await page.getByRole("button", { name: "Actions for Apollo launch" }).click();
  expect((await page.getByRole("menuitem").count()) === 1, "a board can be opened, and that is all");
  await page.keyboard.press("Escape");

  // A board: neither keys, nor the mouse, nor the menu change it.
  const card = page.locator(`[data-column="inbox"] [data-task="${tasks[1].id}"]`);
  await at(`/boards/${board.id}`, () => card);
  await look(page, "board");
  await page.getByRole("button", { name: "More for this board" }).click();
  expect((await page.getByRole("menuitem", { name: /Pause|Resume/ }).count()) === 0, "a reader pauses nobody");
  await page.keyboard.press("Escape");
  await page.keyboard.press("c");
  await card.focus();
  await page.keyboard.press("Shift+ArrowRight");
  const from = await card.boundingBox();
  const to = await page.locator('[data-column="review"]').boundingBox();
  await page.mouse.move(from.x + 40, from.y + 20);
  await page.mouse.down();
  await page.mouse.move(to.x + 60, to.y + 120, { steps: 6 });
  expect((await page.locator("[data-dragged], [data-over]").count()) === 0, "no card is in a reader's hand");
  await page.mouse.up();
  expect((await page.getByRole("dialog").count()) === 0 && (await card.count()) === 1, "the card is where it was");
  expect((await me.get(`/api/v1/tasks/${tasks[1].id}`)).status === "inbox", "the task is as it was");
  await at(`/boards/${board.id}/tasks/${tasks[3].id}`, () => page.getByRole("complementary", { name: tasks[3].title }));
  await look(page, "task");
  for (const panel of ["chat", "agents", "memory"]) await at(`/boards/${board.id}?panel=${panel}`, () => page.getByRole("button", { name: "Close the panel" }));
  await at(`/boards/${boards[2].id}`, text("An empty board"));
  await at(`/boards/${board.id}/settings`, text("You can read this board."));
  expect(await page.getByLabel("Name", { exact: true }).isDisabled(), "settings are there to read");
  await look(page, "settings");
  await at("/groups", () => page.getByRole("link", { name: "Growth" }));
  await at(`/groups/${group.id}`, () => page.getByRole("link", { name: "Apollo launch" }));
  await at("/activity", heading("Activity"));
  await at("/custom-fields", text("Client"));
  await at("/organization", () => page.getByLabel("Find a member"));

  // What is not for members says so, with nothing around it that could not be used.
  for (const path of ["/agents", "/audit"]) {
    await at(path, text("Not for you to see"));
    expect((await page.getByRole("searchbox").count()) === 0, `${path} has nothing to search`);
  }
  await look(page, "audit");
}
