// Gateways: state, check, sessions, files of agents with what would change before it is written, settings, and the end.
import { fleet, lookBoth } from "../fleet.mjs";
import { until } from "../rest.mjs";
import { expect } from "../walk.mjs";

export default async function gateways({ open, look, me }) {
  const { gateway, agents } = await fleet(me);
  await until("files of all agents", async () => {
    const all = await Promise.all(agents.map((agent) => me.get(`/api/v1/agents/${agent.id}/provisioning`)));
    return all.every((one) => one.conditions.some((condition) => condition.type === "Woken" && condition.status === "true"));
  });
  const page = await open("/gateways", { width: 1440, height: 900 });
  await page.getByRole("cell", { name: "Connected", exact: false }).waitFor();
  await page.getByText("3 agents").waitFor();
  await lookBoth(look, page, "list");
  await page.getByRole("link", { name: "Office gateway" }).click();
  await page.getByText("operator.admin", { exact: false }).first().waitFor();
  await page.getByRole("button", { name: "Check the connection" }).click();
  await page.getByText("The gateway is ready").first().waitFor();
  await lookBoth(look, page, "gateway");

  await page.getByRole("tab", { name: "Sessions" }).click();
  await page.getByRole("row").filter({ has: page.getByRole("link", { name: "Ada", exact: true }) }).getByRole("button").click();
  await page.getByRole("dialog").getByLabel("Say something to Ada").fill("How many questions are open?");
  await page.getByRole("dialog").getByRole("button", { name: "Send" }).click();
  await page.getByRole("dialog").getByText("How many questions are open?", { exact: false }).last().waitFor();
  await lookBoth(look, page, "session");
  await page.keyboard.press("Escape");

  // Somebody's name changes: their agents' USER.md no longer says what it should, but agents keep that file themselves.
  await me.patch("/api/v1/users/me", { preferred_name: "Ida", timezone: "Europe/Berlin" });
  await page.getByRole("tab", { name: "Templates" }).click();
  await page.getByRole("button", { name: "See what would change" }).click();
  await page.getByRole("button", { name: "Look again" }).waitFor();
  await page.getByRole("switch", { name: "Overwrite what agents keep themselves" }).click();
  await page.getByRole("button", { name: "See what would change" }).click();
  await page.getByRole("button", { name: /^Write the files of/ }).waitFor();
  await page.getByRole("button", { name: /USER\.md/ }).first().click();
  await page.getByText("Ida", { exact: false }).first().waitFor();
  await lookBoth(look, page, "templates");
  await page.getByRole("button", { name: /^Write the files of/ }).click();
  await page.getByText("what agents wrote into USER.md and MEMORY.md").waitFor();
  await look(page, "templates-confirm");
  await page.getByRole("button", { name: "Write them" }).click();
  await page.getByText("Done", { exact: true }).first().waitFor();
  await look(page, "templates-result");

  await page.getByRole("link", { name: "Edit the gateway" }).click();
  await page.getByLabel("Name", { exact: true }).fill("");
  await page.getByRole("button", { name: "Check and save" }).click();
  await page.getByText("Give it a name.").waitFor();
  await page.getByLabel("Name", { exact: true }).fill("Main office");
  await lookBoth(look, page, "edit");
  await page.getByRole("button", { name: "Check and save" }).click();
  await page.getByRole("heading", { name: "Main office" }).waitFor();
  expect((await me.get(`/api/v1/gateways/${gateway.id}`)).token !== null, "the stored token stays");

  // One without a board has sessions too.
  const spare = await me.post("/api/v1/gateways", { name: "Spare gateway", url: process.env.GATEWAY_URL, token: process.env.GATEWAY_TOKEN, workspace_root: "~/.openclaw" });
  const other = await open(`/gateways/${spare.id}?tab=sessions`);
  await other.getByRole("row").filter({ has: other.getByRole("link", { name: "Ada", exact: true }) }).getByRole("button").click();
  await other.getByRole("dialog").getByText("How many questions are open?", { exact: false }).first().waitFor();

  // A board still uses it: it is said which, and nothing happens.
  await page.getByRole("button", { name: "Delete the gateway" }).click();
  await page.getByText("Customer support still use it", { exact: false }).waitFor();
  await page.getByRole("button", { name: "Understood" }).click();
  // What another client does is on the page by itself.
  await me.patch(`/api/v1/gateways/${gateway.id}`, { name: "Head office" });
  await page.getByRole("heading", { name: "Head office" }).waitFor();
}
