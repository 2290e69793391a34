import { expect, test } from "vitest";
import { CustomFieldType } from "@/gen/missioncontrol/board/v1/fields_pb";
import { defaultText, defaultValue, keyOf, matches, TYPES, typeWord } from "./values";

test.each([
  ["text", "ACME", "ACME"],
  ["integer", " 5 ", 5],
  ["decimal", "2,5", 2.5],
  ["boolean", "false", false],
  ["json", '{"a":[1]}', { a: [1] }],
  ["url", "https://example.com/x", "https://example.com/x"],
  ["date", "2026-11-25", "2026-11-25"],
] as const)("a default of type %s is read", (type, text, value) => {
  expect(defaultValue(type, text)).toEqual(value);
});

test("an empty default is none, and one that does not fit is refused", () => {
  expect(defaultValue("integer", " ")).toBeUndefined();
  for (const [type, text] of [["integer", "2.5"], ["decimal", "much"], ["json", "5"], ["json", "{"], ["url", "ftp://x"]] as const) expect(() => defaultValue(type, text)).toThrow();
});

test("a moment goes to the form in local time and back", () => {
  const at = "2026-11-25T22:00:00.000Z";
  expect(defaultValue("date_time", defaultText("date_time", at))).toBe(at);
});

test("every type has its word", () => {
  for (const [word, type] of Object.entries(TYPES)) expect(typeWord(type)).toBe(word);
  expect(typeWord(CustomFieldType.UNSPECIFIED)).toBe("text");
});

test("a pattern has to match the whole value", () => {
  expect(matches("[A-Z]{2}", "AB")).toBe(true);
  expect(matches("[A-Z]{2}|x", "ABC")).toBe(false);
  expect(matches("[", "x")).toBeUndefined();
});

test("keys are made from labels", () => {
  expect(keyOf("Zürich – Büro 7!")).toBe("zurich_buro_7");
});
