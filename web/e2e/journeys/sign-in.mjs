// Signing in, staying signed in in new tabs and on deep links, and out again.
import { expect } from "../walk.mjs";

export default async function signIn({ open, look, token, url }) {
  const page = await open("/boards", { token: null, expect: [/401/] });
  await page.getByLabel("Access token").waitFor();
  await look(page, "sign-in");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("Paste the token first.").waitFor();
  await page.getByLabel("Access token").fill("wrong-token");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("The server does not take this token.").waitFor();
  expect((await page.getByLabel("Access token").inputValue()) === "wrong-token", "what was typed stays");
  await page.getByLabel("Access token").fill(token);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Boards", level: 1 }).waitFor();
  expect(page.url() === `${url}/boards`, "the deep link is where one lands, without the token in it");
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();

  const second = await page.context().newPage();
  await second.goto(`${url}/groups`);
  await second.getByRole("heading", { name: "Board groups" }).waitFor();
  await second.reload();
  await second.getByRole("heading", { name: "Board groups" }).waitFor();

  await page.getByRole("button", { name: "Account" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByLabel("Access token").waitFor();
  await second.getByLabel("Access token").waitFor();
}
