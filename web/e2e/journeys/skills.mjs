// Skills and packs: what is there, found by filters, asked for on a gateway and taken away again.
import { fleet, lookBoth } from "../fleet.mjs";
import { until } from "../rest.mjs";
import { expect } from "../walk.mjs";

export default async function skills({ open, look, me }) {
  const empty = await open("/skills", { width: 1440, height: 900 });
  await empty.getByText("Skills are installed on a gateway").waitFor();
  await look(empty, "no-gateway");
  const { gateway } = await fleet(me);
  const page = await open("/skills", { width: 1440, height: 900 });
  await page.getByText("The marketplace is empty").waitFor();
  await look(page, "empty");
  await page.getByRole("button", { name: "Add a skill" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Add a skill" }).click();
  await page.getByText("Write an address.").waitFor();
  await page.getByLabel("Address").fill("https://github.com/acme/skills/tree/main/skills/pdf");
  await page.getByLabel("Name").fill("PDF reader");
  await page.getByLabel("Description").fill("Reads and fills PDF documents.");
  await look(page, "add");
  await page.getByRole("dialog").getByRole("button", { name: "Add a skill" }).click();
  await page.getByRole("heading", { name: "PDF reader" }).waitFor();
  for (const name of ["mail", "calendar", "browser"]) await me.post("/api/v1/skills/marketplace", { source_url: `https://github.com/acme/skills/tree/main/skills/${name}`, description: `Everything an agent needs for ${name}.` });
  await page.getByText("4 skills").waitFor();
  await page.getByLabel("Search skills").fill("fills");
  await page.getByText("1 of 4 skills").waitFor();

  await page.getByRole("button", { name: "Install PDF reader on Office gateway" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Install" }).click();
  await page.getByRole("button", { name: "Uninstall PDF reader from Office gateway" }).waitFor();
  await page.getByRole("button", { name: "Clear filters" }).click();
  await page.getByLabel("State").selectOption({ label: "Installed" });
  await page.getByText("1 of 4 skills").waitFor();
  await page.getByRole("button", { name: "Clear filters" }).click();
  await lookBoth(look, page, "marketplace");
  await page.getByRole("button", { name: "Uninstall PDF reader from Office gateway" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Uninstall" }).click();
  await until("the removal", async () => !(await me.get(`/api/v1/skills/marketplace?gateway_id=${gateway.id}`)).find((skill) => skill.name === "PDF reader").installed);
  await page.getByRole("button", { name: "Install PDF reader on Office gateway" }).waitFor();

  await page.getByRole("link", { name: "Skill packs" }).last().click();
  await page.getByRole("heading", { name: "Skill packs", level: 1 }).waitFor();
  await page.getByRole("button", { name: "Add a pack" }).click();
  // A repository that may not be a pack is refused, at the field or as a whole, and the form stays.
  await page.getByLabel("Address").fill("https://127.0.0.1/owner/repo");
  await page.getByRole("button", { name: "Add and read" }).click();
  await page.getByRole("dialog").getByRole("alert").first().waitFor();
  expect((await page.getByLabel("Address").inputValue()) === "https://127.0.0.1/owner/repo", "what was typed stays");
  await look(page, "pack-refused");
  await page.keyboard.press("Escape");
  const pack = await me.post("/api/v1/skills/packs", { source_url: "https://github.com/acme/skills", name: "Acme skills" });
  await page.getByRole("row", { name: /Acme skills/ }).waitFor();
  await lookBoth(look, page, "packs");
  await page.getByRole("button", { name: "Acts for Acme skills" }).click();
  await page.getByRole("menuitem", { name: "Edit the pack" }).click();
  await page.getByLabel("Branch").fill("stable");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("stable", { exact: false }).waitFor();
  await page.getByRole("button", { name: "Acts for Acme skills" }).click();
  await page.getByRole("menuitem", { name: "Delete the pack" }).click();
  await page.getByText("skills found in it stay in the marketplace", { exact: false }).waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Delete the pack" }).click();
  await page.getByRole("row", { name: /Acme skills/ }).waitFor({ state: "detached" });
  expect((await me.get("/api/v1/skills/packs")).every((one) => one.id !== pack.id), "the pack is gone");
}
