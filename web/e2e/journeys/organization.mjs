// The organization and oneself: invites whose link shows once, keys that work and end, webhooks with their log, the time zone of every time.
import { seed } from "../seed.mjs";
import { expect } from "../walk.mjs";
import { rest, until } from "../rest.mjs";

export default async function organization({ open, look, shot, check, me, url }) {
  const world = await seed({ tasks: 6, asking: false });
  const page = await open("/organization", { width: 1440, height: 900 });
  await page.getByRole("cell", { name: /Local User/ }).first().waitFor();
  await look(page, "members");

  // What somebody may do and why: of a member to be, after what was opened to them; of any operation by its name.
  await me.post("/api/v1/organizations/me/api-keys", { name: "Nightly import", role: "member", scope: "write" });
  await page.reload();
  await page.getByRole("button", { name: "Actions for Nightly import" }).click();
  await page.getByRole("menuitem", { name: "What they may do, and why" }).click();
  const may = page.getByRole("region", { name: "In the organization" });
  await may.getByRole("row", { name: /Invite people No/ }).waitFor();
  await may.getByText(/Missing: the role admin or owner/).first().waitFor();
  await page.getByLabel("On which board").selectOption({ label: "Apollo launch" });
  await page.getByRole("region", { name: "Apollo launch" }).getByRole("row", { name: /Make tasks/ }).getByText(/^(Yes|No)$/).waitFor();
  await page.getByText("Who reaches Apollo launch").waitFor();
  await page.getByLabel("Another operation").fill("DELETE /api/v1/organizations/me");
  await page.getByRole("button", { name: "Ask" }).click();
  await page.getByRole("status").getByText(/may not call OrganizationService.DeleteMyOrganization/).waitFor();
  await look(page, "access");
  await page.getByLabel("Another operation").fill("GET /nothing");
  await page.getByRole("button", { name: "Ask" }).click();
  await page.getByText("There is no such method", { exact: false }).waitFor();

  // An invite: the link shows once, and its list lives.
  await page.getByRole("tab", { name: "Members" }).click();
  await page.getByRole("button", { name: "Invite somebody" }).click();
  const form = page.getByRole("dialog", { name: "Invite somebody" });
  await form.getByRole("button", { name: "Make the link" }).click();
  await form.getByRole("alert").first().waitFor();
  await form.getByLabel("E-mail address").fill("grace@example.com");
  await form.getByRole("button", { name: "Only some" }).click();
  await form.getByRole("group", { name: "Rights on Apollo launch" }).getByRole("button", { name: "Write" }).click();
  await look(page, "invite");
  await form.getByRole("button", { name: "Make the link" }).click();
  const ready = page.getByRole("dialog", { name: "The link is ready" });
  const link = await ready.getByLabel("Invite link").innerText();
  expect(link.startsWith(`${url}/invite#`), "the secret part is sent to no server");
  await look(page, "invite-link");
  await ready.getByRole("button", { name: "Done" }).click();
  await page.getByRole("cell", { name: "grace@example.com" }).waitFor();
  expect(!(await page.content()).includes(link.split("#")[1]), "the token is not shown again");
  await me.post("/api/v1/organizations/me/invites", { invited_email: "linus@example.com", role: "admin" });
  await page.getByRole("cell", { name: "linus@example.com" }).waitFor();
  await look(page, "invites");
  await page.getByRole("row", { name: /linus/ }).getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("dialog").getByText("it stops to work at once").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("cell", { name: "linus@example.com" }).waitFor({ state: "detached" });

  // The link leads to joining; what is wrong is said.
  const invited = await open("/invite#made-up", { expect: [/40[0-9]/] });
  await invited.getByRole("button", { name: "Join" }).click();
  await invited.getByRole("alert").first().waitFor();
  await look(invited, "join");

  // A service account's key works until it is revoked.
  await page.getByRole("tab", { name: "API keys" }).click();
  await page.getByRole("button", { name: "New service account" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Nightly report");
  await look(page, "key-form");
  await page.getByRole("button", { name: "Make the key" }).click();
  const key = await page.getByLabel("API key", { exact: true }).innerText();
  await page.getByRole("dialog", { name: "The key is ready" }).waitFor();
  const script = rest(url, { authorization: `Bearer ${key}` });
  expect((await script.get("/api/v1/boards")).items.length === world.boards.length, "the key opens the boards");
  await page.getByRole("button", { name: "Done" }).click();
  await page.getByRole("cell", { name: /Nightly report/ }).waitFor();
  await look(page, "keys");
  await page.getByRole("row", { name: /Nightly report/ }).getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("cell", { name: /Nightly report/ }).waitFor({ state: "detached" });
  await until("the end of the revoked key", () =>
    script.get("/api/v1/boards").then(
      () => false,
      () => true,
    ),
  );

  // A webhook: its secret shows once; what is refused points at the field.
  await page.getByRole("tab", { name: "Webhooks" }).click();
  await page.getByRole("button", { name: "New webhook" }).click();
  const hook = page.getByRole("dialog", { name: "New webhook" });
  await hook.getByLabel("Address").fill("http://example.com/plain");
  await hook.getByRole("button", { name: "Make the webhook" }).click();
  await hook.getByRole("alert").filter({ hasText: /https/ }).waitFor();
  expect((await hook.getByLabel("Address").inputValue()) === "http://example.com/plain", "what was typed stays");
  await hook.getByLabel("Address").fill("https://hooks.invalid/mission-control");
  await hook.getByLabel("What it is for").fill("Chat bot of the operations team");
  await hook.getByLabel("Tasks").check();
  await look(page, "webhook-form");
  await hook.getByRole("button", { name: "Make the webhook" }).click();
  await page.getByRole("dialog", { name: "The webhook is ready" }).getByLabel("Signing secret").waitFor();
  expect((await page.getByLabel("Signing secret").innerText()).startsWith("whsec_"), "the secret has the usual form");
  await page.getByRole("button", { name: "Done" }).click();

  // Its log fills as things happen; every attempt is there with what went wrong, and it can be sent again.
  await page.getByText("No deliveries yet").waitFor();
  await me.post(`/api/v1/boards/${world.board.id}/tasks`, { title: "Tell the bot" });
  await page.getByRole("button", { name: "task.created" }).first().waitFor();
  await look(page, "webhook");
  await page.getByRole("button", { name: "task.created" }).first().click();
  const delivery = page.getByRole("dialog", { name: "Delivery" });
  await delivery.getByText("Attempt 1").waitFor();
  await delivery.getByText("Tell the bot").first().waitFor();
  await look(page, "delivery");
  await delivery.getByRole("button", { name: "Deliver again" }).click();
  await page.getByText("It is sent again now").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Switch off" }).click();
  await page.getByText("The webhook is off").waitFor();
  await page.getByRole("button", { name: /^Actions for/ }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await page.getByRole("dialog").getByText("its delivery log").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("No webhooks").waitFor();
  await page.getByRole("tab", { name: "General" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Acme Robotics");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("It is called Acme Robotics now").waitFor();
  await page.getByRole("button", { name: /Acme Robotics/ }).first().waitFor();
  await look(page, "general");
  await page.getByRole("button", { name: "Delete this organization" }).click();
  await page.getByRole("dialog").getByText("3 boards with tasks").waitFor();
  await look(page, "delete-organization");
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();

  // The time zone of the profile is that of every time, at once.
  await page.goto(`${url}/settings`);
  await page.getByRole("button", { name: /Time zone/ }).click();
  await page.getByRole("combobox", { name: "Time zone" }).fill("Honolulu");
  await page.keyboard.press("Enter");
  await page.getByLabel("Called", { exact: false }).first().fill("Loco");
  await look(page, "settings");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Your profile is saved").waitFor();
  await page.goto(`${url}/activity`);
  const shown = await page.locator("time").first();
  await shown.waitFor();
  const [at, text] = [await shown.getAttribute("datetime"), await shown.innerText()];
  const there = new Intl.DateTimeFormat("en-GB", { timeZone: "Pacific/Honolulu", hour: "2-digit", minute: "2-digit" }).format(new Date(at));
  expect(text === there, `${text} is ${there} in Honolulu`);

  const narrow = await open("/organization", { width: 390, height: 844, touch: true });
  await narrow.getByRole("cell", { name: /Loco|Local User/ }).first().waitFor();
  await look(narrow, "narrow-members");
  await narrow.goto(`${url}/settings`);
  await narrow.getByRole("button", { name: /Time zone/ }).waitFor();
  await shot(narrow, "narrow-settings");
  await check(narrow, "narrow settings");
}
