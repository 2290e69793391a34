import { expect, test, vi } from "vitest";
import { inOneTab } from "./one-tab";

test("what ends begins again, is told, and stops when nobody holds it", async () => {
  vi.useFakeTimers();
  const heard: number[] = [];
  let runs = 0;
  const again = vi.fn();
  const stop = inOneTab<number>(
    "a",
    (tell) => {
      runs += 1;
      tell(runs);
      return runs === 1 ? Promise.reject(new Error("cut")) : new Promise(() => undefined);
    },
    (value) => heard.push(value),
    again,
  );
  await vi.advanceTimersByTimeAsync(0);
  expect(heard).toEqual([1]);
  expect(again).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(2000);
  expect(heard).toEqual([1, 2]);
  expect(again).toHaveBeenCalledTimes(1);
  stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(runs).toBe(2);
  vi.useRealTimers();
});
