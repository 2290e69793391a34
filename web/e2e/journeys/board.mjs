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
  const { board, boards, tasks, agents, tags, group } = await seed();
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

  // A new task, with everything, by keyboard first.
  await column(page, "Inbox").waitFor();
  await page.locator("body").press("c");
  const dialog = page.getByRole("dialog", { name: "New task" });
  await dialog.getByRole("button", { name: "Create task" }).click();
  await dialog.getByRole("alert").filter({ hasText: "What is to be done?" }).waitFor();
  await dialog.getByLabel("Title").fill("Write the changelog");
  await dialog.getByRole("button", { name: "Priority" }).click();
  await page.getByRole("option", { name: "High" }).click();
  await dialog.getByRole("button", { name: "Waits for" }).click();
  await page.getByRole("combobox", { name: "Waits for" }).fill("security review");
  await page.getByRole("option", { name: /security review$/ }).click();
  await page.keyboard.press("Escape");
  await shot(page, "new-task");
  await check(page, "new task");
  await dialog.getByRole("button", { name: "Create task" }).click();
  await page.getByRole("button", { name: "Open the task" }).click();
  const panel = page.getByRole("complementary", { name: "Write the changelog" });
  await panel.getByText("waits for 1 task").waitFor();
  const id = page.url().match(/tasks\/([0-9a-f-]+)/)[1];

  // Everything is changed where it stands.
  await panel.getByLabel("Title").fill("Write the whole changelog");
  await page.keyboard.press("Enter");
  await until("the title is saved", async () => (await me.get(`/api/v1/tasks/${id}`)).title === "Write the whole changelog");
  const open2 = page.getByRole("complementary", { name: "Write the whole changelog" });
  await open2.getByRole("button", { name: "Add a description" }).click();
  await open2.getByLabel("Description").fill("Not **only** the highlights.\n\n<img src=x onerror=alert(1)> <script>alert(2)</script>\n\n[bad](javascript:alert(3)) @Ada");
  await open2.getByRole("button", { name: "Save" }).click();
  await open2.locator(".prose strong").filter({ hasText: "only" }).waitFor();
  expect((await open2.locator(".prose img, .prose script, .prose a[href^=javascript]").count()) === 0, "markdown is sanitised");
  expect((await open2.locator(".prose .mention").textContent()) === "@Ada", "mentions stand out");
  await open2.getByRole("button", { name: "Tags" }).click();
  await page.getByRole("option", { name: "writing" }).click();
  await page.keyboard.press("Escape");
  await until("the tag is saved", async () => (await me.get(`/api/v1/tasks/${id}`)).tags.length === 1);
  await open2.getByLabel("Due").fill("2027-01-15");
  await until("the due date is saved", async () => (await me.get(`/api/v1/tasks/${id}`)).due_at?.startsWith("2027-01-15"));

  // A comment with a mention; what is typed is kept when one goes elsewhere.
  const comment = open2.getByRole("textbox", { name: /Write a comment/ });
  await comment.fill("Half a thought");
  await open2.getByRole("button", { name: "Close the task" }).click();
  await page.goto(`${url}${path}/tasks/${id}`);
  await until("the draft is there again", async () => (await comment.inputValue()) === "Half a thought");
  await comment.fill("");
  await comment.pressSequentially("Please look, @Gr");
  await page.getByRole("option", { name: "Grace" }).waitFor();
  await page.keyboard.press("Enter");
  expect((await comment.inputValue()) === "Please look, @Grace ", "the mention is completed");
  await page.keyboard.press("Control+Enter");
  await open2.locator(".mention").filter({ hasText: "@Grace" }).waitFor();
  await look(page, "task");

  // A circle cannot be chosen, and says why.
  await page.goto(`${url}${path}/tasks/${tasks[2].id}`);
  const needed = (await me.get(`/api/v1/tasks/${id}`)).depends_on_task_ids[0];
  await page.goto(`${url}${path}/tasks/${needed}`);
  await page.getByRole("button", { name: "Add a task it waits for" }).click();
  await page.getByRole("combobox", { name: "Add a task it waits for" }).fill("whole changelog");
  const circle = page.getByRole("option", { name: /Write the whole changelog/ });
  expect((await circle.getAttribute("aria-disabled")) === "true", "a circle cannot be chosen");
  await page.getByText("would be a circle").waitFor();
  await page.keyboard.press("Escape");

  // An approval is decided beside its task; another browser sees it.
  await page.goto(`${url}${path}/tasks/${tasks[3].id}`);
  await page.getByRole("tab", { name: /Approvals/ }).click();
  await page.getByText("4,200 customers", { exact: false }).first().waitFor().catch(() => undefined);
  await look(page, "approval");
  await page.getByLabel("Reason").fill("Fine with me.");
  await page.getByRole("button", { name: "Approve" }).click();
  await page.getByText(/Approved by/).waitFor();
  await other.goto(`${url}${path}/tasks/${tasks[3].id}`);
  await other.getByRole("tab", { name: /Activity/ }).click();
  await other.getByText(/Approval .*/).first().waitFor();

  // The chat, in two browsers.
  await page.goto(`${url}${path}?panel=chat`);
  await other.goto(`${url}${path}?panel=chat`);
  await page.getByRole("textbox", { name: /Message to the board/ }).fill("Standup in five minutes.");
  await page.keyboard.press("Control+Enter");
  await other.getByText("Standup in five minutes.").waitFor();
  await look(page, "chat");
  await page.goto(`${url}${path}?panel=memory`);
  await page.getByText("Releases go out on Tuesdays").waitFor();
  await page.getByLabel("Tags, with commas between").fill("fact");
  await page.getByRole("textbox", { name: "Something the agents should know" }).fill("The changelog is in English.");
  await page.keyboard.press("Control+Enter");
  await page.getByText("The changelog is in English.").waitFor();
  await look(page, "memory");
  await page.goto(`${url}${path}?panel=agents`);
  await page.getByRole("complementary", { name: "Agents" }).getByText("Linus").waitFor();
  await page.getByRole("button", { name: "Pause agents" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Pause agents" }).click();
  await page.getByText("Asked all agents to pause").waitFor();
  await look(page, "agents");

  // Rules and inbound webhooks.
  await page.goto(`${url}${path}/settings`);
  await page.getByLabel("Name", { exact: true }).waitFor();
  await look(page, "settings");
  await page.getByRole("tab", { name: "Rules" }).click();
  await page.getByRole("switch", { name: "A comment before Review" }).click();
  await until("the rule is saved", async () => (await me.get(`/api/v1/boards/${board.id}`)).comment_required_for_review === true);
  await look(page, "rules");
  await page.getByRole("tab", { name: "Inbound webhooks" }).click();
  await page.getByRole("button", { name: "New webhook" }).click();
  await page.getByLabel("What it is for").fill("Orders of the shop");
  await page.getByRole("dialog").getByRole("button", { name: "Create" }).click();
  await page.getByText("Orders of the shop").first().waitFor();
  const endpoint = await page.getByLabel("Address for the sender").textContent();
  await fetch(process.env.MC_URL + new URL(endpoint).pathname, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ order: 4711 }) });
  await page.getByText('"order": 4711').or(page.getByText('{ "order": 4711 }')).first().waitFor();
  await look(page, "webhooks");
  await page.goto(url + path);

  // With the rule, going to review asks what was done.
  const working = (await me.get(`/api/v1/boards/${board.id}/tasks?status=in_progress`)).items[0];
  await card(page, working.id).focus();
  await page.keyboard.press("Shift+ArrowRight");
  await page.getByRole("dialog", { name: "What was done?" }).getByRole("textbox").fill("Links are checked.");
  await page.getByRole("button", { name: "Move to Review" }).click();
  await isIn(page, working.id, "review");

  // Deleting says what goes.
  await page.goto(`${url}${path}/tasks/${id}`);
  await page.getByRole("button", { name: "Delete task" }).click();
  await page.getByText("This destroys:").waitFor();
  await shot(page, "delete");
  await page.getByRole("dialog").getByRole("button", { name: "Delete task" }).click();
  await card(page, id).waitFor({ state: "detached" });

  // A phone: by finger.
  const phone = await open(path, { width: 390, height: 844, touch: true });
  await phone.locator('[data-column="inbox"]').waitFor();
  await look(phone, "phone");
  await phone.getByRole("button", { name: "Open the navigation" }).click();
  await shot(phone, "phone-navigation");
  await check(phone, "the navigation on a phone");
  await phone.keyboard.press("Escape");
  await phone.locator('[data-column="inbox"] [data-task]').first().tap();
  await phone.getByRole("complementary").getByRole("button", { name: "Assignee" }).waitFor();
  await look(phone, "phone-task");

  // Groups, and a board that is deleted under somebody's eyes.
  await page.goto(`${url}/groups/${group.id}`);
  await page.getByRole("link", { name: "Apollo launch" }).waitFor();
  await look(page, "group");
  await page.goto(`${url}/boards/${boards[2].id}`);
  await page.getByText("An empty board").waitFor();
  await look(page, "empty");
  await other.goto(`${url}/boards`);
  await other.getByRole("button", { name: "Actions for Data quality" }).click();
  await other.getByRole("menuitem", { name: "Delete board" }).click();
  await other.getByRole("dialog").getByRole("button", { name: "Delete board" }).click();
  await page.getByText("This board was deleted").waitFor();
  void agents;
}
