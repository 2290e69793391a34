// A phone, groups, an empty board, and one that is deleted under somebody's eyes.
import { seed } from "../seed.mjs";

export default async function places({ open, look, shot, check, me, url }) {
  const { board, boards, group } = await seed({ tasks: 12 });
  const path = `/boards/${board.id}`;
  // A phone: by finger.
  const phone = await open(path, { width: 390, height: 844, touch: true });
  await phone.locator('[data-column="inbox"]').waitFor();
  await look(phone, "phone");
  await phone.getByRole("button", { name: "Open the navigation" }).click();
  await shot(phone, "phone-navigation");
  await check(phone, "the navigation on a phone");
  await phone.keyboard.press("Escape");
  await phone.locator('[data-column="inbox"] [data-task]').first().tap();
  await phone.getByRole("complementary").getByRole("button", { name: "Assignee" }).waitFor();
  await look(phone, "phone-task");

  const page = await open(`/groups/${group.id}`);
  const other = await open("/boards");
  // Groups, and a board that is deleted under somebody's eyes.
  await page.getByRole("link", { name: "Apollo launch" }).waitFor();
  await look(page, "group");
  // What the boards of a group say to each other, by anyone, at once; to a member too, whom the change stream tells of boards only.
  const { key } = await me.post("/api/v1/organizations/me/api-keys", { name: "A member", role: "member", scope: "write" });
  const members = (await me.get("/api/v1/organizations/me/members")).items;
  const member = members.find((one) => one.role === "member");
  if (member) await me.put(`/api/v1/organizations/me/members/${member.id}/access`, { all_boards_read: false, all_boards_write: false, board_access: [{ board_id: board.id, can_read: true, can_write: true }] });
  const reader = await open(`/groups/${group.id}?panel=chat`, { token: key });
  await reader.getByText("Nobody has written yet", { exact: false }).waitFor();
  await page.getByRole("button", { name: "Chat", exact: true }).click();
  await page.getByRole("textbox", { name: /Message to the group/ }).fill("Both boards ship on **Tuesday**.");
  await page.keyboard.press("Control+Enter");
  await page.getByText("Both boards ship on").waitFor();
  await reader.getByText("Both boards ship on").waitFor();
  await reader.getByRole("textbox", { name: /Message to the group/ }).fill("Understood.");
  await reader.keyboard.press("Control+Enter");
  await page.getByText("Understood.").waitFor();
  await look(page, "group-chat");
  await page.getByRole("button", { name: "Memory", exact: true }).click();
  await reader.goto(`${url}/groups/${group.id}?panel=memory`);
  await page.getByRole("textbox", { name: "Something all boards should know" }).fill("The interface is version 2.");
  await page.keyboard.press("Control+Enter");
  await reader.getByText("The interface is version 2.").waitFor();
  await look(page, "group-memory");
  await page.goto(`${url}/boards/${boards[2].id}`);
  await page.getByText("An empty board").waitFor();
  await look(page, "empty");
  await other.getByRole("button", { name: "Actions for Data quality" }).click();
  await other.getByRole("menuitem", { name: "Delete board" }).click();
  await other.getByRole("dialog").getByRole("button", { name: "Delete board" }).click();
  await page.getByText("This board was deleted").waitFor();
}
