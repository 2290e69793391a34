import type { SkillCard, SkillPack } from "@/gen/missioncontrol/agent/v1/skills_pb";
import type { Tone } from "@/ui/badge";

/** What the marketplace is narrowed to; nothing is by default, so that nothing is hidden. */
export interface Narrow {
  q: string;
  category: string;
  risk: string;
  pack: string;
  state: string;
}

/** Stands for skills without a category or risk. */
export const NONE = "uncategorized";

const word = (value: string | undefined) => value?.trim().toLowerCase() || NONE;

/** Whether a skill comes from a pack's repository. */
export function isOf(skill: Pick<SkillCard, "sourceUrl">, pack: Pick<SkillPack, "sourceUrl">): boolean {
  const base = pack.sourceUrl.toLowerCase().replace(/\.git$/, "").replace(/\/+$/, "");
  const address = skill.sourceUrl.toLowerCase();
  return address === base || address.startsWith(`${base}/`);
}

/** Skills that are like that. */
export function narrowed(skills: readonly SkillCard[], narrow: Narrow, pack?: Pick<SkillPack, "sourceUrl">): SkillCard[] {
  const words = narrow.q.toLowerCase().split(/\s+/).filter(Boolean);
  return skills.filter(
    (skill) =>
      (!narrow.category || word(skill.category) === narrow.category) &&
      (!narrow.risk || word(skill.risk) === narrow.risk) &&
      (!pack || isOf(skill, pack)) &&
      (!narrow.state || skill.installed === (narrow.state === "installed")) &&
      words.every((one) => `${skill.name} ${skill.description ?? ""} ${skill.category ?? ""} ${skill.risk ?? ""} ${skill.sourceUrl}`.toLowerCase().includes(one)),
  );
}

/** The words that skills have for something, each with how many have it, the most frequent first. */
export function facets(skills: readonly SkillCard[], of: "category" | "risk"): [string, number][] {
  const counts = new Map<string, number>();
  for (const skill of skills) counts.set(word(skill[of]), (counts.get(word(skill[of])) ?? 0) + 1);
  return [...counts].toSorted((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
}

/** How a risk looks; words that are not known are as they are. */
export function riskTone(risk: string | undefined): Tone {
  switch (word(risk)) {
    case "safe":
    case "none":
    case "low":
      return "ok";
    case "medium":
    case "caution":
    case "moderate":
      return "warn";
    case "high":
    case "critical":
    case "offensive":
    case "dangerous":
      return "bad";
    default:
      return "neutral";
  }
}
