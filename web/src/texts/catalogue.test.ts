import { expect, test } from "vitest";
import { language, loadLanguage, texts } from "./catalogue";

test("English is there without loading anything, and is what an unknown language falls back to", async () => {
  await loadLanguage(["xx-XX", "en-GB"]);
  expect(language()).toBe("en");
  expect(document.documentElement.lang).toBe("en");
  expect(texts("test", { name: "Name", deep: { one: "One" } }).deep.one).toBe("One");
});
