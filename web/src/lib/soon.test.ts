import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { soon } from "./soon";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function counted() {
  const client = new QueryClient();
  const read = vi.spyOn(client, "invalidateQueries").mockResolvedValue();
  return { client, read };
}

test("one change is read soon, and once more when all is settled", () => {
  const { client, read } = counted();
  soon(["inbox"])(null, client);
  expect(read).toHaveBeenCalledTimes(0);
  vi.advanceTimersByTime(300);
  expect(read).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(5000);
  expect(read).toHaveBeenCalledTimes(2);
});

test("a storm of changes is read now and then, not with each", () => {
  const { client, read } = counted();
  const apply = soon(["inbox"]);
  for (let at = 0; at < 6000; at += 50) {
    apply(null, client);
    vi.advanceTimersByTime(50);
  }
  expect(read.mock.calls.length).toBeLessThanOrEqual(5);
  vi.advanceTimersByTime(2000);
  const settled = read.mock.calls.length;
  vi.advanceTimersByTime(10_000);
  expect(read.mock.calls.length).toBe(settled);
});
