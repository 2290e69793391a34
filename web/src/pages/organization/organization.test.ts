import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { DeliveryStatus } from "@/gen/missioncontrol/activity/v1/activity_pb";
import { accessOf, accessText, sameAccess, toRequest } from "./access";
import { nextLook } from "./queries";
import { kindsOf, splitKinds } from "./webhook-kinds";

const some = (...boardAccess: { boardId: string; canRead: boolean; canWrite: boolean }[]) => ({ allBoardsRead: false, allBoardsWrite: false, boardAccess });

test("rights survive the form", () => {
  const rights = some({ boardId: "a", canRead: true, canWrite: false }, { boardId: "b", canRead: true, canWrite: true });
  expect(toRequest(accessOf(rights))).toEqual(rights);
  expect(toRequest({ mode: "read", boards: { a: "write" } })).toEqual({ allBoardsRead: true, allBoardsWrite: false, boardAccess: [] });
  expect(toRequest({ mode: "some", boards: { a: "none" } }).boardAccess).toEqual([]);
});

test("the order of boards and rights of no kind make no difference", () => {
  expect(sameAccess({ mode: "some", boards: { a: "read", b: "write" } }, { mode: "some", boards: { b: "write", a: "read", c: "none" } })).toBe(true);
  expect(sameAccess({ mode: "some", boards: { a: "read" } }, { mode: "some", boards: { a: "write" } })).toBe(false);
});

test.each([
  [{ ...some(), allBoardsWrite: true, allBoardsRead: true }, "All boards, read and write"],
  [{ ...some(), allBoardsRead: true }, "All boards, read only"],
  [some(), "No board"],
  [some({ boardId: "a", canRead: true, canWrite: true }), "1 board, read and write"],
  [some({ boardId: "a", canRead: true, canWrite: true }, { boardId: "b", canRead: true, canWrite: false }), "2 boards, 1 of them to write"],
])("%j is said as %s", (rights, words) => {
  expect(accessText(rights)).toBe(words);
});

test("a delivery that waits is looked at when it is due, others are not", () => {
  const now = 1_000_000;
  const due = (at: number) => ({ status: DeliveryStatus.PENDING, nextAttemptAt: timestampFromDate(new Date(at)) });
  expect(nextLook([{ status: DeliveryStatus.FAILED }, { status: DeliveryStatus.SUCCEEDED }], now)).toBe(false);
  expect(nextLook([due(now + 60_000), due(now + 5000)], now)).toBe(5700);
  expect(nextLook([due(now - 60_000)], now)).toBe(1000);
});

test("kinds of events: those with a box, and words of one's own", () => {
  expect(splitKinds(["task.*", "task.created", "made.up"])).toEqual({ chosen: ["task.*"], words: "task.created\nmade.up" });
  expect(kindsOf(["task.*"], " task.created \n\nmade.up, task.*")).toEqual(["task.*", "task.created", "made.up"]);
});
