import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { SkillCardSchema } from "@/gen/missioncontrol/agent/v1/skills_pb";
import { facets, isOf, narrowed } from "./filter";

const skill = (name: string, rest: { category?: string; risk?: string; installed?: boolean; sourceUrl?: string; description?: string } = {}) => create(SkillCardSchema, { name, sourceUrl: `https://github.com/o/r/tree/main/${name}`, ...rest });
const ALL = [skill("pdf", { category: "Documents", risk: "safe", installed: true }), skill("mail", { category: "documents", risk: "high" }), skill("shell", { description: "Runs commands" })];
const NOTHING = { q: "", category: "", risk: "", pack: "", state: "" };

test("without filters everything shows, rated or not", () => {
  expect(narrowed(ALL, NOTHING)).toHaveLength(3);
});

test("filters narrow, in any case", () => {
  const names = (narrow: Partial<typeof NOTHING>) => narrowed(ALL, { ...NOTHING, ...narrow }).map((one) => one.name);
  expect(names({ category: "documents" })).toEqual(["pdf", "mail"]);
  expect(names({ risk: "uncategorized" })).toEqual(["shell"]);
  expect(names({ state: "installed" })).toEqual(["pdf"]);
  expect(names({ q: "RUNS shell" })).toEqual(["shell"]);
});

test("words are counted for the filters", () => {
  expect(facets(ALL, "category")).toEqual([["documents", 2], ["uncategorized", 1]]);
});

test("a skill is of a pack when its address lies below the repository", () => {
  expect(isOf(ALL[0]!, { sourceUrl: "https://github.com/O/R.git" })).toBe(true);
  expect(isOf(ALL[0]!, { sourceUrl: "https://github.com/o/rest" })).toBe(false);
  expect(isOf(skill("x", { sourceUrl: "https://github.com/o/r2/tree/main/x" }), { sourceUrl: "https://github.com/o/r" })).toBe(false);
});
