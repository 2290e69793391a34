// Tags and custom fields: every type, boards, defaults, patterns; the server's refusals at their fields; what a deletion takes with it.
import { fleet, lookBoth } from "../fleet.mjs";
import { expect } from "../walk.mjs";

export default async function labels({ open, look, me }) {
  const { board } = await fleet(me);
  const page = await open("/tags", { width: 1440, height: 900 });
  await page.getByText("No tag yet").waitFor();
  await look(page, "tags-empty");
  await page.getByRole("button", { name: "New tag" }).click();
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByText("Give it a name.").waitFor();
  await page.getByLabel("Name", { exact: true }).fill("Urgent");
  await page.getByRole("radio", { name: "#dc2626" }).check({ force: true });
  await page.getByLabel("Description").fill("Before anything else.");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("row", { name: /Urgent/ }).waitFor();
  // Another's tag appears by itself; a task carries it.
  const tag = await me.post("/api/v1/tags", { name: "Research", color: "7c3aed" });
  await page.getByRole("row", { name: /Research/ }).waitFor();
  await me.post(`/api/v1/boards/${board.id}/tasks`, { title: "Ask ten customers", tag_ids: [tag.id] });
  await page.reload();
  await page.getByRole("row", { name: /Research/ }).getByText("1 task").waitFor();
  await lookBoth(look, page, "tags");
  // A short name that is taken is refused in the server's words.
  await page.getByRole("button", { name: "New tag" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Urgent");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("dialog").getByRole("alert").first().waitFor();
  await lookBoth(look, page, "tag-taken");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Acts for Research" }).click();
  await page.getByRole("menuitem", { name: "Delete the tag" }).click();
  await page.getByText("it is taken off 1 task").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Delete the tag" }).click();
  await page.getByRole("row", { name: /Research/ }).waitFor({ state: "detached" });

  await page.goto(page.url().replace("/tags", "/custom-fields"));
  await page.getByText("No custom field yet").waitFor();
  await look(page, "fields-empty");
  const types = [
    ["Client", "Text, one line", "ACME"],
    ["Notes", "Text, several lines", "See the wiki."],
    ["Score", "Whole number", "5"],
    ["Budget", "Number", "2.5"],
    ["Billable", "Yes or no", { label: "Yes" }],
    ["Day", "Day", "2026-12-01"],
    ["Moment", "Day and time", "2026-12-01T09:30"],
    ["Link", "Web address", "https://example.com/a"],
    ["Extra", "JSON", '{"a": [1, 2]}'],
  ];
  for (const [label, type, preset] of types) {
    await page.getByRole("button", { name: "New field" }).first().click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Label").fill(label);
    await dialog.getByLabel("Type").selectOption({ label: type });
    const field = dialog.getByLabel("Default");
    if (typeof preset === "string") await field.fill(preset);
    else await field.selectOption(preset);
    await dialog.getByRole("button", { name: "Create" }).click();
    await dialog.waitFor({ state: "detached" });
    await page.getByRole("row", { name: new RegExp(`^${label}`) }).waitFor();
  }
  const stored = Object.fromEntries((await me.get("/api/v1/organizations/me/custom-fields")).map((field) => [field.field_key, field]));
  expect(stored.score.default_value === 5 && stored.billable.default_value === true && stored.extra.default_value.a[1] === 2, "defaults are stored with their type");
  expect(stored.client.board_ids[0] === board.id, "the only board is chosen by itself");
  await lookBoth(look, page, "fields");

  await page.getByRole("button", { name: "Acts for Client" }).click();
  await page.getByRole("menuitem", { name: "Edit the field" }).click();
  const dialog = page.getByRole("dialog");
  expect(await dialog.getByLabel("Key").isDisabled(), "the key never changes");
  await dialog.getByLabel("Pattern").fill("[");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.getByText("This is not a regular expression.").waitFor();
  await dialog.getByLabel("Pattern").fill("[A-Z]+");
  await dialog.getByLabel("Try a value").fill("acme");
  await dialog.getByText("It does not fit.").waitFor();
  await dialog.getByLabel("Try a value").fill("ACME");
  await dialog.getByText("It fits.").waitFor();
  await dialog.getByRole("switch", { name: "Every task needs a value" }).click();
  await lookBoth(look, page, "field-edit");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByRole("row", { name: /^Client/ }).getByText("Required").waitFor();

  await page.getByRole("button", { name: "Acts for Extra" }).click();
  await page.getByRole("menuitem", { name: "Delete the field" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete the field" }).click();
  await page.getByRole("row", { name: /^Extra/ }).waitFor({ state: "detached" });
}
