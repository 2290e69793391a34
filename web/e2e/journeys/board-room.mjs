// Around the tasks: chat, memory, agents, rules, inbound webhooks.
import { person, until } from "../rest.mjs";
import { seed } from "../seed.mjs";
import { expect } from "../walk.mjs";

export default async function boardRoom({ open, look, url }) {
  const me = person();
  const { board } = await seed();
  const path = `/boards/${board.id}`;
  const page = await open(path);
  await page.locator('[data-column="inbox"] [data-task]').first().waitFor();
  const other = await open(path);
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
  await other.goto(`${url}${path}?panel=memory`);
  await other.getByText("The changelog is in English.").waitFor();
  await me.post(`/api/v1/boards/${board.id}/memory`, { content: "The build needs Node 22.", tags: ["fact"] });
  for (const one of [page, other]) await one.getByText("The build needs Node 22.").waitFor();
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
  await page.locator(`[data-task="${working.id}"]`).focus();
  await page.keyboard.press("Shift+ArrowRight");
  await page.getByRole("dialog", { name: "What was done?" }).getByRole("textbox").fill("Links are checked.");
  await page.getByRole("button", { name: "Move to Review" }).click();
  await page.locator(`[data-column="review"] [data-task="${working.id}"]`).waitFor();

}
