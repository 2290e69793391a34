// Kinds of events a webhook gets: whole subjects with a box to tick, and words for the rest.
import activity from "@/texts/en/activity";
import { texts } from "@/texts/catalogue";

const t = texts("activity", activity);

/** Subjects with a box, with their name. */
export const SUBJECTS: readonly { kind: string; label: string }[] = Object.entries(t.subjects).map(([subject, label]) => ({ kind: `${subject}.*`, label }));

/** Kinds for the form. */
export function splitKinds(kinds: readonly string[]): { chosen: string[]; words: string } {
  const known = new Set(SUBJECTS.map((one) => one.kind));
  return { chosen: kinds.filter((kind) => known.has(kind)), words: kinds.filter((kind) => !known.has(kind)).join("\n") };
}

/** Kinds for the server, each once. */
export function kindsOf(chosen: readonly string[], words: string): string[] {
  return [...new Set([...chosen, ...words.split(/[\s,]+/).filter(Boolean)])];
}
