// From nothing to a finished task: every step by the page, taken up again after a reload, with a gateway that is not there at first.
import { until } from "../rest.mjs";
import { expect } from "../walk.mjs";

export default async function firstRun({ open, look, shot, check, me }) {
  const page = await open("/start", { width: 1440, height: 900 });
  await page.getByRole("heading", { name: "Name your organization" }).waitFor();
  await look(page, "empty");
  await page.getByRole("button", { name: "Use this name" }).click();
  await page.getByText("Give it a name.").waitFor();
  await page.getByLabel("Name", { exact: true }).fill("Analog Kitchens");
  await page.getByRole("button", { name: "Use this name" }).click();
  await page.getByText("You work in Analog Kitchens.").waitFor();

  // Nobody listens there: the step that fails is named with its remedy, nothing is stored, what was typed stays.
  await page.getByLabel("Name", { exact: true }).fill("Office gateway");
  await page.getByLabel("Address").fill("ws://127.0.0.1:9");
  await page.getByLabel("Token", { exact: true }).fill(process.env.GATEWAY_TOKEN);
  await page.getByRole("button", { name: "Check and add" }).click();
  await page.getByText("Nothing was stored: reach the port failed.", { exact: false }).waitFor();
  await page.getByText("Check that the gateway runs", { exact: false }).first().waitFor();
  expect((await page.getByLabel("Address").inputValue()) === "ws://127.0.0.1:9", "what was typed stays");
  expect((await me.get("/api/v1/gateways")).total === 0, "a gateway that cannot be reached is not stored");
  await look(page, "gateway-fails");
  await page.getByLabel("Address").fill(process.env.GATEWAY_URL);
  await page.getByRole("button", { name: "Check and add" }).click();
  await page.getByText("Office gateway is connected", { exact: false }).waitFor();

  // Left and taken up again: what is done follows from what exists.
  await page.reload();
  await page.getByRole("button", { name: "Make the board" }).waitFor();
  await look(page, "board");
  await page.getByLabel("Name", { exact: true }).fill("Customer support");
  await page.getByRole("button", { name: "Make the board" }).click();
  await page.getByText("Say in a sentence what it is for: agents read it.").waitFor();
  await page.getByLabel("What it is for").fill("Questions from customers, answered within a day.");
  await page.getByRole("switch", { name: "An approval before Done" }).click();
  await page.getByRole("button", { name: "Make the board" }).click();
  await page.getByText("Customer support is there.").waitFor();

  await page.getByLabel("Name", { exact: true }).fill("Ada");
  await page.getByLabel("Role").fill("Support engineer");
  await page.getByRole("button", { name: "Create the agent" }).click();
  await page.getByText("Ada is being provisioned").waitFor();
  await page.getByText("It was woken").waitFor();
  await look(page, "provisioning");
  await page.getByLabel("What is to be done").fill("Write down the five questions that customers ask most");
  await page.getByRole("button", { name: "Give it the task" }).click();
  await page.getByText("Everything is in place").waitFor();

  // The agent checks in and works; the page says so by itself.
  const agent = (await me.get("/api/v1/agents")).items.find((one) => one.name === "Ada");
  await until("waking Ada", async () => (await me.get(`/api/v1/agents/${agent.id}/provisioning`)).conditions.some((one) => one.type === "Woken" && one.status === "true"));
  await me.post(`/api/v1/agents/${agent.id}/heartbeat`, {});
  await page.getByText("Ada is online.").waitFor();
  const [task] = (await me.get(`/api/v1/boards/${agent.board_id}/tasks`)).items;
  expect(task.assigned_agent_id === agent.id, "the task is the agent's");
  await me.patch(`/api/v1/boards/${agent.board_id}/tasks/${task.id}`, { status: "in_progress" });
  await page.getByText("In progress", { exact: true }).waitFor();
  await me.patch(`/api/v1/boards/${agent.board_id}/tasks/${task.id}`, { status: "done" });
  await page.getByText("Done", { exact: true }).last().waitFor();
  await look(page, "finished");
  await page.setViewportSize({ width: 390, height: 844 });
  await look(page, "finished-390");
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.getByRole("link", { name: "To the board" }).click();
  await page.waitForURL(/\/boards\//);

  // From the palette at any time.
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox").fill("first steps");
  await page.getByRole("option", { name: "First steps" }).first().waitFor();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "First steps", level: 1 }).waitFor();
  await shot(page, "palette");
  await check(page, "palette");
}
