// An agent asks: it shows at once in every browser, with number and title; it is decided by keyboard, by hand and in bulk, and the others see who and why.
import { ask } from "../approvals-seed.mjs";
import { seed } from "../seed.mjs";
import { expect } from "../walk.mjs";

export default async function approvals({ open, look, shot, check, me, url }) {
  const world = await seed({ tasks: 8, asking: false });
  const page = await open("/approvals", { width: 1440, height: 900 });
  const other = await open("/boards", { width: 1440, height: 900 });
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();
  await other.getByRole("status").filter({ hasText: "Live" }).waitFor();
  const before = await other.title();
  expect(!before.startsWith("("), "nothing waits for this person yet");

  // What agents ask shows up by itself, here and in the title of another browser's tab.
  const [first, second, third, fourth, own] = await ask(me, world);
  const queue = page.getByRole("list", { name: "Approvals" });
  await queue.getByRole("button", { name: /Send email/ }).first().waitFor();
  await other.waitForFunction(() => document.title.startsWith("(4)"));
  await other.getByLabel("4 wait").first().waitFor();

  await page.goto(`${url}/approvals?id=${first.id}`);
  await page.getByRole("article", { name: "Send email" }).getByText("Two agents checked the wording").waitFor();
  await page.getByRole("meter", { name: "Reversibility" }).waitFor();
  await page.getByText("Müller GmbH").waitFor({ state: "detached" });
  await look(page, "detail");

  // One's own question is for others to decide.
  await page.goto(`${url}/approvals?id=${own.id}`);
  await page.getByText("You asked for this yourself").waitFor();
  await shot(page, "own");

  // By keyboard: approve, and the next one is there; reject, with a reason that has to be given.
  await page.goto(`${url}/approvals?id=${second.id}`);
  await page.getByRole("article", { name: "Mark done" }).waitFor();
  await other.goto(`${url}/approvals?id=${second.id}`);
  await other.getByRole("article", { name: "Mark done" }).waitFor();
  await other.getByRole("status").filter({ hasText: "Live" }).waitFor();
  await page.keyboard.press("a");
  await page.getByText("Approved: Mark done").waitFor();
  await page.getByRole("article", { name: "Deploy production" }).waitFor();
  await other.getByText(/Local User approved/).waitFor();
  await shot(other, "decided-by-other");
  await check(other, "decided by somebody else");

  await page.keyboard.press("r");
  const dialog = page.getByRole("dialog", { name: /Reject/ });
  await dialog.waitFor();
  await dialog.getByRole("button", { name: "Reject" }).click();
  await dialog.getByText("Say why").waitFor();
  await dialog.getByLabel("Reason").fill("Not on a Friday: wait for Monday's window.");
  await look(page, "reject");
  await page.keyboard.press("Control+Enter");
  await page.getByText("Rejected: Deploy production").waitFor();
  const decided = (await me.get(`/api/v1/boards/${world.board.id}/approvals`)).items.find((one) => one.id === third.id);
  expect(decided.status === "rejected" && decided.decision_reason === "Not on a Friday: wait for Monday's window.", "the reason reached the requester");

  // In bulk: what cannot be decided is named, the rest is decided.
  await page.goto(`${url}/approvals`);
  await page.getByLabel("Select all").check();
  await page.getByRole("button", { name: "Approve 3" }).waitFor();
  await shot(page, "bulk");
  await check(page, "bulk");
  await page.getByRole("button", { name: "Approve 3" }).click();
  await page.getByRole("dialog", { name: "Approve 3 requests?" }).getByRole("button", { name: "Approve" }).click();
  await page.getByText("2 decided").waitFor();
  await page.getByText(/^1 was not decided/).waitFor();
  await queue.getByRole("button", { name: /Send email/ }).waitFor({ state: "detached" });
  expect((await me.get(`/api/v1/boards/${world.board.id}/approvals?status=approved`)).items.some((one) => one.id === fourth.id), "the others are approved");
  await other.waitForFunction(() => !document.title.startsWith("("));

  // Who decided and why stays readable.
  await page.getByRole("button", { name: "Rejected" }).click();
  await page.getByRole("article", { name: "Deploy production" }).getByText("Not on a Friday").waitFor();
  await look(page, "rejected");
  expect(page.url().includes("view=rejected"), "the view is part of the address");

  const narrow = await open("/approvals?view=all", { width: 390, height: 844, touch: true });
  await narrow.getByRole("button", { name: /Deploy production/ }).waitFor();
  await look(narrow, "narrow-list");
  await narrow.getByRole("button", { name: /Send email/ }).last().click();
  await narrow.getByRole("button", { name: "Back to the list" }).waitFor();
  await look(narrow, "narrow-detail");
  await narrow.getByRole("button", { name: "Back to the list" }).click();
  await narrow.getByRole("button", { name: /Deploy production/ }).waitFor();
}
