import { Plus, X } from "lucide-react";
import { useId } from "react";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { Button, IconButton } from "@/ui/button";
import { Input } from "@/ui/field";

const t = texts("board", board);

/** What was typed as JSON where it is some, else as text. */
export function readValue(text: string): unknown {
  const trimmed = text.trim();
  if (/^(?:-?\d+(?:\.\d+)?|true|false|null|[[{].*[\]}])$/s.test(trimmed)) {
    try {
      return JSON.parse(trimmed) as unknown;
    } catch {
      return text;
    }
  }
  return text;
}

/** Names and values instead of JSON. */
export function Metrics({ value, onChange, error }: { value: Record<string, unknown>; onChange: (value: Record<string, unknown>) => void; error?: string }) {
  const id = useId();
  const entries = Object.entries(value);
  const write = (next: readonly (readonly [string, unknown])[]) => onChange(Object.fromEntries(next));
  return (
    <fieldset className="space-y-1.5">
      <legend className="text-xs font-medium">{t.metrics}</legend>
      {entries.map(([name, one], index) => (
        <div key={index} className="flex gap-2">
          <Input aria-label={`${t.metricName} ${index + 1}`} value={name} onChange={(event) => write(entries.map((entry, at) => (at === index ? [event.target.value, entry[1]] : entry)))} />
          <Input
            aria-label={`${t.metricValue} ${index + 1}`}
            value={typeof one === "string" ? one : JSON.stringify(one)}
            onChange={(event) => write(entries.map((entry, at) => (at === index ? [entry[0], readValue(event.target.value)] : entry)))}
          />
          <IconButton icon={X} label={t.removeMetric} onClick={() => write(entries.filter((_, at) => at !== index))} />
        </div>
      ))}
      <Button size="sm" variant="ghost" icon={Plus} onClick={() => write([...entries, [`${t.metricName} ${entries.length + 1}`, ""]])} aria-describedby={`${id}-hint`}>
        {t.addMetric}
      </Button>
      <p id={`${id}-hint`} className="text-xs text-subtle">
        {t.metricsHint}
      </p>
      {error && (
        <p role="alert" className="text-xs text-bad-ink">
          {error}
        </p>
      )}
    </fieldset>
  );
}
