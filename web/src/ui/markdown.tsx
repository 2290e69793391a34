// Markdown as people and agents write it: parsed and sanitised in code that loads when it is first needed.
import { lazy, Suspense } from "react";

const Rendered = lazy(() => import("./markdown-render"));

/** Markdown; the plain text shows until the renderer is there. `mentions`: names that stand out after an @. */
export function Markdown({ text, mentions }: { text: string; mentions?: readonly string[] }) {
  return (
    <Suspense fallback={<div className="prose whitespace-pre-wrap">{text}</div>}>
      <Rendered text={text} mentions={mentions} />
    </Suspense>
  );
}
