// Free-form JSON as people read it: names and values, lists and groups; not braces.
import { cx } from "./cx";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";

const t = texts("ui", ui);

/** `lead_reasoning` and `taskIds` as words. */
export function words(name: string): string {
  const spaced = name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replace(/[._-]+/g, " ")
    .trim()
    .toLowerCase();
  return spaced.charAt(0).toUpperCase() + spaced.slice(1).replace(/\b(id|ids|url|api|ai|llm)\b/g, (word) => word.toUpperCase().replace("IDS", "IDs"));
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const isWide = (value: unknown): boolean => isObject(value) || (Array.isArray(value) && value.some((one) => typeof one === "object" && one !== null)) || (typeof value === "string" && (value.length > 90 || value.includes("\n")));

/** One value. */
export function JsonValue({ value, className }: { value: unknown; className?: string }) {
  if (value === null || value === undefined || value === "") return <span className={cx("text-subtle", className)}>{t.none}</span>;
  if (Array.isArray(value)) {
    if (value.length === 0) return <span className={cx("text-subtle", className)}>{t.none}</span>;
    if (value.every((one) => typeof one !== "object" || one === null)) return <span className={cx("break-words", className)}>{value.map(String).join(", ")}</span>;
    return (
      <ol className={cx("space-y-2", className)}>
        {value.map((one, index) => (
          <li key={index} className="border-b border-line-soft! pb-2 last:border-0! last:pb-0">
            <JsonValue value={one} />
          </li>
        ))}
      </ol>
    );
  }
  if (isObject(value)) return <JsonView value={value} className={className} />;
  if (typeof value === "string") {
    if (/^https?:\/\/\S+$/.test(value)) {
      return (
        <a href={value} target="_blank" rel="noreferrer noopener" className={cx("break-all text-info-ink underline underline-offset-2", className)}>
          {value}
        </a>
      );
    }
    return <span className={cx("break-words whitespace-pre-wrap", className)}>{value}</span>;
  }
  return <span className={cx("tabular", className)}>{String(value)}</span>;
}

/** An object: its names with their values. */
export function JsonView({ value, className }: { value: Record<string, unknown>; className?: string }) {
  return (
    <dl className={cx("space-y-2 text-sm", className)}>
      {Object.entries(value).map(([name, one]) => (
        <div key={name} className={isWide(one) ? "" : "sm:grid sm:grid-cols-[minmax(110px,28%)_1fr] sm:gap-3"}>
          <dt className="text-muted">{words(name)}</dt>
          <dd className={cx("min-w-0", isWide(one) && "mt-1", isWide(one) && "border-l-2 pl-3")}>
            <JsonValue value={one} />
          </dd>
        </div>
      ))}
    </dl>
  );
}
