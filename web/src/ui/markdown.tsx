// Markdown as people and agents write it: parsed and sanitised in code that loads when it is first needed.
import { later } from "@/lib/later";

/** Markdown; the plain text shows until the renderer is there. `mentions`: names that stand out after an @. */
export const Markdown = later<{ text: string; mentions?: readonly string[] }>(
  () => import("./markdown-render"),
  ({ text }) => <div className="prose whitespace-pre-wrap">{text}</div>,
);
