// One task: written down, changed in place, discussed, approved, deleted.
import { person, until } from "../rest.mjs";
import { seed } from "../seed.mjs";
import { expect } from "../walk.mjs";

const card = (page, id) => page.locator(`[data-task="${id}"]`);

export default async function task({ open, look, shot, check, url }) {
  const me = person();
  const { board, tasks } = await seed();
  const path = `/boards/${board.id}`;
  const page = await open(path);
  await page.locator('[data-column="inbox"] [data-task]').first().waitFor();
  // A new task, with everything, by keyboard first.
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
  const other = await open(path);
  await other.goto(`${url}${path}/tasks/${tasks[3].id}`);
  await other.getByRole("tab", { name: /Activity/ }).click();
  await other.getByText(/Approval .*/).first().waitFor();

  // Deleting says what goes.
  await page.goto(`${url}${path}/tasks/${id}`);
  await page.getByRole("button", { name: "Delete task" }).click();
  await page.getByText("This destroys:").waitFor();
  await shot(page, "delete");
  await page.getByRole("dialog").getByRole("button", { name: "Delete task" }).click();
  await card(page, id).waitFor({ state: "detached" });

}
