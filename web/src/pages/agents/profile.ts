// What an agent's profile and heartbeat say, as the form has it and as the server keeps it.
import type { Agent } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { json } from "@/lib/rest";

/** Parts of a profile that templates use, by their name on the wire. */
export const KEYS = {
  role: "role",
  style: "communication_style",
  emoji: "emoji",
  purpose: "purpose",
  personality: "personality",
  autonomy: "autonomy_level",
  verbosity: "verbosity",
  format: "output_format",
  cadence: "update_cadence",
  instructions: "custom_instructions",
} as const;

/** A profile in the form. */
export type Profile = Record<keyof typeof KEYS, string>;

/** Words that the choices of a profile have. */
export const CHOICES = {
  autonomy: ["ask_first", "balanced", "autonomous"],
  verbosity: ["concise", "balanced", "detailed"],
  format: ["bullets", "mixed", "narrative"],
  cadence: ["asap", "hourly", "daily", "weekly"],
} as const satisfies Partial<Record<keyof Profile, readonly string[]>>;

/** The profile of an agent; what is not set is empty. */
export function profileOf(agent: Pick<Agent, "identityProfile"> | undefined): Profile {
  const stored = json<Record<string, unknown>>(agent?.identityProfile) ?? {};
  return Object.fromEntries(Object.entries(KEYS).map(([name, key]) => [name, typeof stored[key] === "string" ? stored[key] : ""])) as Profile;
}

/** The profile for the wire: what is empty is left out, what the form does not know stays. */
export function profileJson(profile: Profile, agent?: Pick<Agent, "identityProfile">): Record<string, unknown> {
  const kept = { ...json<Record<string, unknown>>(agent?.identityProfile) };
  for (const [name, key] of Object.entries(KEYS)) {
    const value = profile[name as keyof Profile].trim();
    if (value) kept[key] = value;
    else delete kept[key];
  }
  return kept;
}

/** Rhythms that are offered. */
export const RHYTHMS = ["1m", "5m", "10m", "30m", "1h", "0m"] as const;

/** The heartbeat interval of an agent. */
export function everyOf(agent: Pick<Agent, "heartbeatConfig"> | undefined): string {
  const every = json<Record<string, unknown>>(agent?.heartbeatConfig)?.["every"];
  return typeof every === "string" ? every : typeof every === "number" ? `${every}m` : "10m";
}

/** The heartbeat for the wire; what else is configured stays. */
export function heartbeatJson(every: string, agent?: Pick<Agent, "heartbeatConfig">): Record<string, unknown> {
  return { target: "last", ...json<Record<string, unknown>>(agent?.heartbeatConfig), every: every.trim().toLowerCase() };
}

/** Whether a text is an interval: `30s`, `10m`, `1h30m`, or minutes. */
export function isInterval(text: string): boolean {
  return /^(\d+|(\d+[smhd])+)$/i.test(text.trim());
}
