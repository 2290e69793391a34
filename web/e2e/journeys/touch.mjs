// A phone in the hand: a card is read by a tap, the board is moved by a swipe, and a card by holding and dragging it, over the edge too.
import { until } from "../rest.mjs";
import { seed } from "../seed.mjs";
import { expect } from "../walk.mjs";

/** One finger on the glass, as the browser gets it from the screen. */
async function finger(page) {
  const screen = await page.context().newCDPSession(page);
  const touch = (type, points) => screen.send("Input.dispatchTouchEvent", { type, touchPoints: points });
  let at = { x: 0, y: 0 };
  const frame = () => page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => resolve())));
  return {
    down: (x, y) => touch("touchStart", [(at = { x, y })]),
    /** To a place, in steps of a frame each. */
    to: async (x, y, steps = 10) => {
      const from = at;
      for (let step = 1; step <= steps; step += 1) {
        await touch("touchMove", [(at = { x: from.x + ((x - from.x) * step) / steps, y: from.y + ((y - from.y) * step) / steps })]);
        await frame();
      }
    },
    up: () => touch("touchEnd", []),
  };
}

const card = (page, id) => page.locator(`[data-task="${id}"]`);

export default async function touch({ open, shot, check, me, url }) {
  const { board, tasks } = await seed({ tasks: 26 });
  const path = `/boards/${board.id}`;
  const page = await open(path, { width: 390, height: 844, touch: true });
  const hand = await finger(page);
  const first = tasks.find((task) => task.status === "inbox" && !task.is_blocked);
  await page.locator('[data-column="inbox"] [data-task]').first().waitFor();
  const status = async () => (await me.get(`/api/v1/tasks/${first.id}`)).status;

  // A swipe scrolls the column and moves nothing.
  const scrolled = () => page.evaluate(() => Math.max(...[...document.querySelectorAll('[data-column="inbox"] > div')].map((one) => one.scrollTop)));
  const before = await scrolled();
  await hand.down(120, 600);
  await hand.to(120, 350, 8);
  await hand.up();
  await until("the column is scrolled", async () => (await scrolled()) > before + 50);
  expect((await page.locator("[data-dragged]").count()) === 0 && page.url() === `${url}${path}`, "a swipe neither drags nor opens");

  // Held, it is in the hand; at the edge of the screen the other columns come by, to the last.
  await card(page, first.id).scrollIntoViewIfNeeded();
  let box = await card(page, first.id).boundingBox();
  await hand.down(box.x + 60, box.y + 20);
  await page.locator(`[data-task="${first.id}"][data-dragged]`).waitFor();
  await hand.to(382, 400);
  await page.locator('[data-column="done"][data-over]').waitFor();
  await shot(page, "dragging");
  await hand.up();
  await page.locator(`[data-column="done"] [data-task="${first.id}"]`).waitFor();
  await until("the server has moved it", async () => (await status()) === "done");
  expect((await page.locator("[data-dragged], [data-over]").count()) === 0, "nothing stays marked");
  await shot(page, "dropped");
  await check(page, "a phone after a drag");

  // Back, in one go.
  await card(page, first.id).scrollIntoViewIfNeeded();
  box = await card(page, first.id).boundingBox();
  await hand.down(box.x + 60, box.y + 20);
  await page.locator(`[data-task="${first.id}"][data-dragged]`).waitFor();
  await hand.to(8, 400);
  await page.locator('[data-column="inbox"][data-over]').waitFor();
  await hand.up();
  await until("the server has moved it back", async () => (await status()) === "inbox");

  // A tap opens it, and what a finger cannot drag it can choose.
  await card(page, first.id).scrollIntoViewIfNeeded();
  await card(page, first.id).tap();
  const panel = page.getByRole("complementary", { name: first.title });
  await panel.getByRole("button", { name: /^Status/ }).tap();
  await page.getByRole("option", { name: "In progress" }).tap();
  await until("the server has moved it by choice", async () => (await status()) === "in_progress");
}
