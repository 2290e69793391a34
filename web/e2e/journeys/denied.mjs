// A member: what is not theirs is neither offered nor shown, with the reason; what is theirs to read has no buttons to change it.
import { fleet, lookBoth } from "../fleet.mjs";
import { expect } from "../walk.mjs";

export default async function denied({ open, look, me }) {
  await fleet(me);
  await me.post("/api/v1/tags", { name: "Urgent", color: "dc2626" });
  const { key } = await me.post("/api/v1/organizations/me/api-keys", { name: "A member", role: "member", scope: "write" });
  const page = await open("/tags", { token: key, width: 1440, height: 900 });
  await page.getByRole("row", { name: /Urgent/ }).waitFor();
  expect((await page.getByRole("button", { name: "New tag" }).count()) === 0, "a member is not offered to make tags");
  expect((await page.getByRole("link", { name: "Gateways" }).count()) === 0, "the navigation has no gateways");
  await look(page, "tags");
  for (const path of ["/gateways", "/agents/new", "/skills", "/skill-packs", "/start"]) {
    await page.goto(new URL(path, page.url()).href);
    await page.getByText("Not for you to see").first().waitFor();
  }
  await lookBoth(look, page, "start");
  // Why, what is missing, and who could give it.
  await page.goto(new URL("/gateways", page.url()).href);
  await page.getByRole("button", { name: "Why?" }).first().click();
  const why = page.getByRole("dialog", { name: "Why not?" });
  await why.getByText(/Missing: the role admin or owner.*Can be given by an owner or admin of the organization: Local User/).waitFor();
  await lookBoth(look, page, "why");
  await why.getByRole("button", { name: "Everything you may do" }).click();
  const all = page.getByRole("region", { name: "In the organization" });
  await all.getByRole("row", { name: /Connect gateways No/ }).waitFor();
  await all.getByText(/Missing: the role admin or owner/).first().waitFor();
  expect(await page.getByLabel("Who", { exact: true }).isDisabled(), "members ask about themselves only");
  await page.getByLabel("On which board").selectOption({ label: "Customer support" });
  await page.getByRole("region", { name: "Customer support" }).getByRole("row", { name: /See the board/ }).getByText(/Yes|No/).first().waitFor();
  await lookBoth(look, page, "access");
}
