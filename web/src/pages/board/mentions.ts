import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import type { Mentionable } from "@/ui/composer";
import type { BoardData } from "./data";

const t = texts("board", board);

/** Who can be mentioned on a board: its agents, and its lead by that word. */
export function mentionables(data: BoardData): Mentionable[] {
  return [{ name: "lead", note: t.mentionLead }, ...data.agents.map((agent) => ({ name: agent.name, note: agent.isBoardLead ? t.lead : undefined }))];
}

/** Names that stand out in texts. */
export function mentionNames(data: BoardData): string[] {
  return ["lead", "all", ...data.agents.map((agent) => agent.name)];
}
