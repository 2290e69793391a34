// What happened: live, filtered, with before and after; the audit trail with its export and the verification of its chain.
import { readFileSync } from "node:fs";
import { ask } from "../approvals-seed.mjs";
import { seed } from "../seed.mjs";
import { expect } from "../walk.mjs";

export default async function activity({ open, look, shot, check, me, url }) {
  const world = await seed({ tasks: 12, asking: false });
  await ask(me, world);
  const page = await open("/activity", { width: 1440, height: 900 });
  await page.getByRole("heading", { name: "Today" }).waitFor();
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();

  // What another does is there without asking for it.
  const made = await me.post(`/api/v1/boards/${world.board.id}/tasks`, { title: "Seen at once" });
  await page.getByRole("button", { name: /Task created: Seen at once/ }).waitFor();
  await look(page, "feed");

  // What changed, by whom, with which request.
  await me.patch(`/api/v1/boards/${world.board.id}/tasks/${made.id}`, { title: "Seen and renamed", priority: "high" });
  await page.getByRole("button", { name: /Seen and renamed/ }).first().click();
  const sheet = page.getByRole("dialog", { name: "What happened" });
  await sheet.getByText("Seen and renamed").last().waitFor();
  await sheet.getByText("Local User").first().waitFor();
  await sheet.locator("del", { hasText: "Seen at once" }).waitFor();
  await sheet.locator("ins", { hasText: "Seen and renamed" }).waitFor();
  await look(page, "event");
  await page.keyboard.press("Escape");
  await sheet.waitFor({ state: "detached" });

  // Filters are part of the address; what does not fit stays away, also live.
  await page.getByRole("button", { name: /Kinds/ }).click();
  await page.getByRole("option", { name: "Approvals" }).click();
  await page.keyboard.press("Escape");
  await page.waitForURL(/kind=approval/);
  await page.getByRole("button", { name: /Approval send email/ }).first().waitFor();
  await page.getByRole("button", { name: /Task created/ }).first().waitFor({ state: "detached" });
  await me.post(`/api/v1/boards/${world.board.id}/tasks`, { title: "Not among approvals" });
  await me.post(`/api/v1/boards/${world.board.id}/approvals`, { agent_id: world.agents[0].id, action_type: "buy_licence", confidence: 50, lead_reasoning: "It is needed." });
  await page.getByRole("button", { name: /Approval buy licence/ }).waitFor();
  expect((await page.getByRole("button", { name: /Not among approvals/ }).count()) === 0, "the filter holds for what comes in");
  await page.reload();
  await page.getByRole("button", { name: /Approval buy licence/ }).waitFor();
  await page.getByRole("button", { name: "Clear filters" }).click();

  // The audit trail: every entry in its place, searched, drilled into.
  await page.goto(`${url}/audit`);
  await page.getByText(/entries, each sealed/).waitFor();
  await page.getByRole("button", { name: /Seen and renamed/ }).first().waitFor();
  await look(page, "audit");
  await page.getByLabel("Search in the sentences").fill("renamed");
  await page.waitForURL(/q=renamed/);
  await page.getByRole("button", { name: /Task created/ }).first().waitFor({ state: "detached" });
  await page.getByRole("button", { name: /Seen and renamed/ }).first().click();
  await page.getByRole("dialog", { name: "What happened" }).getByText("Place in the chain").waitFor();
  await look(page, "entry");
  await page.getByRole("link", { name: "All about this" }).click();
  await page.waitForURL(/target=/);
  await page.getByRole("button", { name: /Seen at once/ }).first().waitFor();

  // Exports have what is shown, in both forms.
  for (const [name, words] of [["CSV, for spreadsheets", "csv"], ["JSON lines, for programs", "jsonl"]]) {
    await page.getByRole("button", { name: "Export" }).click();
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name }).click()]);
    const text = readFileSync(await download.path(), "utf8");
    expect(text.includes("Seen and renamed") && !text.includes("send_email"), `the ${words} export has what is shown`);
    expect(download.suggestedFilename().includes(words), `a name that ends with ${words}`);
  }

  await page.getByRole("button", { name: "Verify the chain" }).click();
  await page.getByText(/The chain is intact/).waitFor();
  await page.getByText("Signed end of the chain").waitFor();
  await look(page, "verified");
  await page.keyboard.press("Escape");

  const narrow = await open("/activity", { width: 390, height: 844, touch: true });
  await narrow.getByRole("heading", { name: "Today" }).waitFor();
  await look(narrow, "narrow");
  await narrow.goto(`${url}/audit`);
  await narrow.getByText(/entries, each sealed/).waitFor();
  await shot(narrow, "narrow-audit");
  await check(narrow, "narrow audit");
}
