// What is there on every page: palette, shortcuts, theme, organizations, and honesty about the connection.
import { seed } from "../seed.mjs";
import { expect } from "../walk.mjs";

export default async function shell({ open, look, shot, check, me, url, line }) {
  const { board, boards } = await seed({ tasks: 6 });
  const page = await open("/boards", { expect: [/Failed to load resource|ERR_CONNECTION/] });
  await page.getByRole("link", { name: "Apollo launch" }).waitFor();
  await look(page, "boards");

  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: "Command palette" }).fill("custom sup");
  await page.getByRole("option", { name: /Customer support/ }).waitFor();
  await shot(page, "palette");
  await check(page, "palette");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Customer support", level: 1 }).waitFor();
  expect(page.url() === `${url}/boards/${boards[1].id}`, "the palette goes to a board");

  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
  await look(page, "shortcuts");
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("b");
  await page.getByRole("heading", { name: "Boards", level: 1 }).waitFor();
  await page.keyboard.press("[");
  await shot(page, "narrow-sidebar");
  await check(page, "narrow sidebar");
  await page.keyboard.press("[");

  // A form keeps what was typed, and points at the field with the server's words.
  await page.getByRole("button", { name: "New board" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Without a gateway");
  await page.getByLabel("Description").fill("To see what the server says");
  // The only gateway is chosen already; nobody has to keep it.
  const gateway = page.getByLabel("Gateway", { exact: true });
  await gateway.locator("option:checked", { hasText: "Local gateway" }).waitFor({ state: "attached" });
  await gateway.selectOption("");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.getByRole("alert").filter({ hasText: /gateway/i }).waitFor();
  expect((await page.getByLabel("Name", { exact: true }).inputValue()) === "Without a gateway", "what was typed stays");
  await look(page, "form-error");
  await page.keyboard.press("Escape");

  // Chosen themes survive a reload.
  await page.getByRole("button", { name: "Account" }).click();
  await page.getByRole("menuitemradio", { name: "Dark" }).click();
  await page.reload();
  expect((await page.evaluate(() => document.documentElement.dataset.theme)) === "dark", "dark stays");
  await page.getByRole("button", { name: "Account" }).click();
  await page.getByRole("menuitemradio", { name: "As the system" }).click();

  // The connection breaks: it is said, since when; afterwards the view is exact without a reload.
  await page.goto(`${url}/boards/${board.id}`);
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();
  await page.evaluate(() => (window.notReloaded = true));
  await line.cut();
  await page.getByRole("status").filter({ hasText: /Offline|Reconnecting/ }).waitFor();
  await shot(page, "offline");
  await check(page, "offline");
  const made = await me.post(`/api/v1/boards/${board.id}/tasks`, { title: "Made while nobody could see" });
  await line.mend();
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();
  await page.locator(`[data-task="${made.id}"]`).waitFor();
  expect(await page.evaluate(() => window.notReloaded === true), "without a reload");

  // Another organization is another world.
  await page.getByRole("button", { name: "Switch organization" }).click();
  await page.getByRole("menuitem", { name: "New organization" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Second office");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.getByText("You are in Second office now").waitFor();
  await page.goto(`${url}/boards`);
  await page.getByText("No boards yet").waitFor();
  await look(page, "no-boards");
  await page.goto(`${url}/boards/00000000-0000-7000-8000-000000000000`);
  await page.getByText("It is not here").waitFor();
  await look(page, "missing");
  await page.goto(`${url}/nowhere/at/all`);
  await page.getByRole("heading", { name: "There is no such page" }).waitFor();
}
