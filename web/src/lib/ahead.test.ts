import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { fetchOrTake } from "./ahead";

const PATH = "/missioncontrol.board.v1.SnapshotService/GetBoardSnapshot";
const early = new Response("early");
const call = (body: number[], authorization = "Bearer mine", path = PATH) => fetchOrTake(location.origin + path, { method: "POST", body: new Uint8Array(body), headers: { authorization } });

beforeEach(() => {
  vi.stubGlobal("fetch", vi.fn(() => Promise.resolve(new Response("asked"))));
  vi.spyOn(performance, "now").mockReturnValue(500);
  window.ahead = { path: PATH, authorization: "Bearer mine", body: new Uint8Array([1, 2]), answer: Promise.resolve(early) };
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

test("the answer is taken once", async () => {
  expect(await call([1, 2])).toBe(early);
  expect(await call([1, 2])).not.toBe(early);
  expect(fetch).toHaveBeenCalledTimes(1);
});

test.each([
  ["another board", () => call([1, 3])],
  ["another person", () => call([1, 2], "Bearer yours")],
])("%s is asked for", async (_, other) => {
  expect(await other()).not.toBe(early);
  expect(await call([1, 2]), "and what was asked before is not kept").not.toBe(early);
});

test("another method leaves it where it is", async () => {
  expect(await call([1, 2], "Bearer mine", "/other")).not.toBe(early);
  expect(await call([1, 2])).toBe(early);
});

test("what is old is asked for again: the stream does not reach back to it", async () => {
  vi.spyOn(performance, "now").mockReturnValue(10_001);
  expect(await call([1, 2])).not.toBe(early);
});
