import { expect, test } from "vitest";
import { jsonBytes } from "@/lib/rest";
import { everyOf, heartbeatJson, isInterval, profileJson, profileOf } from "./profile";

test("a profile goes to the form and back, and what the form does not know stays", () => {
  const agent = { identityProfile: jsonBytes({ role: "Writer", communication_style: "dry", favourite_colour: "blue" }) };
  const profile = profileOf(agent);
  expect([profile.role, profile.style, profile.emoji]).toEqual(["Writer", "dry", ""]);
  expect(profileJson({ ...profile, role: " Editor ", style: "" }, agent)).toEqual({ role: "Editor", favourite_colour: "blue" });
});

test("a heartbeat keeps its other settings", () => {
  const agent = { heartbeatConfig: jsonBytes({ every: "5m", target: "none", includeReasoning: true }) };
  expect(everyOf(agent)).toBe("5m");
  expect(heartbeatJson("1H", agent)).toEqual({ every: "1h", target: "none", includeReasoning: true });
  expect(heartbeatJson("10m")).toEqual({ every: "10m", target: "last" });
  expect(everyOf({ heartbeatConfig: jsonBytes({ every: 15 }) })).toBe("15m");
  expect(everyOf(undefined)).toBe("10m");
});

test.each([["10m", true], ["1h30m", true], ["15", true], ["0m", true], ["soon", false], ["10 m", false], ["", false]])("the interval %s is one: %s", (text, is) => {
  expect(isInterval(text)).toBe(is);
});
