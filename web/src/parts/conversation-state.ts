/** A message as it is shown. */
export interface Message {
  role: string;
  text: string;
  /** Names of tools that were used. */
  tools: readonly string[];
  at?: Date;
}

interface Part {
  type?: unknown;
  text?: unknown;
  name?: unknown;
}

/** Messages of a history: releases write their content as a text or as a list of parts. */
export function readMessages(raw: readonly unknown[]): Message[] {
  return raw.flatMap((entry) => {
    if (typeof entry !== "object" || entry === null) return [];
    const { role, content, timestamp, toolName } = entry as Record<string, unknown>;
    if (typeof role !== "string") return [];
    const parts: readonly Part[] = Array.isArray(content) ? (content as Part[]) : [];
    const text = typeof content === "string" ? content : parts.flatMap((part) => (typeof part.text === "string" && part.type !== "thinking" ? [part.text] : [])).join("\n\n");
    const tools = [...parts.flatMap((part) => (typeof part.name === "string" ? [part.name] : [])), ...(typeof toolName === "string" ? [toolName] : [])];
    const at = typeof timestamp === "number" || typeof timestamp === "string" ? new Date(timestamp) : undefined;
    return [{ role, text: text.trim(), tools: [...new Set(tools)], at: at && !Number.isNaN(at.getTime()) ? at : undefined }];
  });
}
