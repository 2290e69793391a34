// Agents: made with their files rendered beside the form, seen live, nudged, changed, given a new token, and deleted.
import { fleet, lookBoth } from "../fleet.mjs";
import { until } from "../rest.mjs";
import { expect } from "../walk.mjs";

export default async function agents({ open, look, me }) {
  const { board, agents: made } = await fleet(me);
  const [ada] = made;
  const page = await open("/agents", { width: 1440, height: 900 });
  await page.getByRole("link", { name: "Grace" }).waitFor();
  await lookBoth(look, page, "list");
  await until("waking Ada", async () => (await me.get(`/api/v1/agents/${ada.id}/provisioning`)).conditions.some((one) => one.type === "Woken" && one.status === "true"));
  await me.post(`/api/v1/agents/${ada.id}/heartbeat`, {});
  await page.getByRole("row", { name: /Ada/ }).getByText("Online").waitFor();
  await page.getByLabel("Filter agents").fill("research");
  expect((await page.getByRole("row").count()) === 2, "the filter leaves one agent and the head");
  await page.getByLabel("Filter agents").fill("");

  await page.getByRole("link", { name: "New agent" }).click();
  await page.getByRole("button", { name: "Create the agent" }).click();
  await page.getByText("Give it a name.").waitFor();
  await page.getByLabel("Name", { exact: true }).fill("Linus");
  await page.getByLabel("Board", { exact: true }).selectOption({ label: "Customer support" });
  await page.getByLabel("Role").fill("Editor");
  await page.getByRole("region", { name: "IDENTITY.md" }).getByText("Role: Editor", { exact: false }).waitFor();
  await page.getByLabel("Text of SOUL.md").fill("You are {{ agent_nam }}.");
  await page.getByText("“agent_nam” in line 1 is not a variable", { exact: false }).waitFor();
  await page.getByLabel("Text of SOUL.md").fill("You are {{ agent_name }}, and you never hurry.");
  await page.getByRole("region", { name: "SOUL.md" }).getByText("You are Linus, and you never hurry.").waitFor();
  await lookBoth(look, page, "new");
  // A name that is taken: the server's words at the field, and what was typed is still there.
  await page.getByLabel("Name", { exact: true }).fill("Ada");
  await page.getByRole("button", { name: "Create the agent" }).click();
  await page.getByText("An agent with this name already exists", { exact: false }).waitFor();
  expect((await page.getByLabel("Role").inputValue()) === "Editor", "what was typed stays");
  await page.getByLabel("Name", { exact: true }).fill("Linus");
  await page.getByLabel("Every").selectOption("5m");
  await page.getByRole("button", { name: "Create the agent" }).click();
  await page.getByRole("heading", { name: "Linus" }).waitFor();
  await page.getByText("It was woken").waitFor();
  const linus = (await me.get(`/api/v1/agents?board_id=${board.id}`)).items.find((one) => one.name === "Linus");
  await me.post(`/api/v1/boards/${board.id}/tasks`, { title: "Read the oldest question", assigned_agent_id: linus.id });
  await page.getByRole("link", { name: /Read the oldest question/ }).waitFor();
  await lookBoth(look, page, "agent");
  await page.getByRole("tab", { name: "Files" }).click();
  await page.getByRole("button", { name: "SOUL" }).click();
  await page.getByText("You are Linus, and you never hurry.").waitFor();
  await lookBoth(look, page, "files");
  await page.getByRole("tab", { name: "Conversation" }).click();
  await page.getByRole("region", { name: "Messages" }).getByRole("listitem").first().waitFor();
  await lookBoth(look, page, "conversation");

  await page.getByRole("button", { name: "Nudge" }).click();
  await page.getByRole("textbox", { name: "Message" }).fill("Please look at the newest question.");
  await page.getByRole("button", { name: "Send the nudge" }).click();
  await page.getByText("Linus has it").waitFor();
  await look(page, "nudge");
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();

  await page.getByRole("link", { name: "Edit" }).click();
  await page.getByLabel("Role").fill("Senior editor");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Senior editor").first().waitFor();

  await page.getByRole("button", { name: "Acts for Linus" }).click();
  await page.getByRole("menuitem", { name: "New token" }).click();
  await page.getByText("the token it uses now").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "New token" }).click();
  await page.getByText("It has a new token").waitFor();

  await page.getByRole("button", { name: "Acts for Linus" }).click();
  await page.getByRole("menuitem", { name: "Delete the agent" }).click();
  await page.getByText("its workspace with all files on the gateway").waitFor();
  await look(page, "delete");
  await page.getByLabel("Type Linus to go on").fill("Linus");
  await page.getByRole("dialog").getByRole("button", { name: "Delete the agent" }).click();
  await page.waitForURL(/\/agents$/);
  await until("Linus being gone", async () => (await me.get(`/api/v1/agents?board_id=${board.id}`)).items.every((one) => one.name !== "Linus"));
  await page.getByRole("link", { name: "Grace" }).waitFor();
  await page.getByRole("link", { name: "Linus" }).waitFor({ state: "detached" });

  // Keyboard only: a shortcut opens the form, the palette goes to an agent.
  await page.locator("body").click({ position: { x: 700, y: 700 } });
  await page.keyboard.press("c");
  await page.getByRole("heading", { name: "New agent" }).waitFor();
  expect(await page.getByLabel("Name", { exact: true }).evaluate((field) => field === document.activeElement), "the form begins where one types");
}
