// A phone, groups, an empty board, and one that is deleted under somebody's eyes.
import { seed } from "../seed.mjs";

export default async function places({ open, look, shot, check, url }) {
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
  await page.goto(`${url}/boards/${boards[2].id}`);
  await page.getByText("An empty board").waitFor();
  await look(page, "empty");
  await other.getByRole("button", { name: "Actions for Data quality" }).click();
  await other.getByRole("menuitem", { name: "Delete board" }).click();
  await other.getByRole("dialog").getByRole("button", { name: "Delete board" }).click();
  await page.getByText("This board was deleted").waitFor();
}
