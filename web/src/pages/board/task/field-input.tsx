// The controls of custom fields, one for each type; they speak in JSON values.
import { useState } from "react";
import { type CustomField, CustomFieldType } from "@/gen/missioncontrol/board/v1/fields_pb";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { Input, Select, TextArea } from "@/ui/field";

const t = texts("board", board);

/** A value as it is typed. */
export function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** What was typed as a value of the type; an error in words when it is none. */
export function valueOf(type: CustomFieldType, text: string): { value: unknown } | { error: string } {
  const trimmed = text.trim();
  if (trimmed === "") return { value: null };
  switch (type) {
    case CustomFieldType.INTEGER:
      return /^[+-]?\d+$/.test(trimmed) ? { value: Number(trimmed) } : { error: t.invalidNumber };
    case CustomFieldType.DECIMAL:
      return Number.isFinite(Number(trimmed)) ? { value: Number(trimmed) } : { error: t.invalidNumber };
    case CustomFieldType.BOOLEAN:
      return { value: trimmed === "true" };
    case CustomFieldType.DATE_TIME: {
      const at = new Date(trimmed);
      return { value: Number.isNaN(at.getTime()) ? trimmed : at.toISOString() };
    }
    case CustomFieldType.JSON:
      try {
        return { value: JSON.parse(trimmed) as unknown };
      } catch {
        return { error: t.invalidJson };
      }
    default:
      return { value: type === CustomFieldType.TEXT_LONG ? text : trimmed };
  }
}

/** A moment for `datetime-local`, in the reader's zone. */
function localMoment(value: unknown): string {
  const at = new Date(textOf(value));
  if (Number.isNaN(at.getTime())) return "";
  const two = (part: number) => String(part).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** The control of a field. `save` gets the value when the person is done with it; what it answers or throws stays with the control. */
export function FieldInput({ field, value, save, disabled, id }: { field: CustomField; value: unknown; save: (value: unknown) => Promise<boolean> | undefined; disabled?: boolean; id?: string }) {
  const start = field.fieldType === CustomFieldType.DATE_TIME ? localMoment(value) : textOf(value);
  const [draft, setDraft] = useState<string>();
  const [error, setError] = useState<string>();
  const done = async (text: string) => {
    if (text === start) {
      setDraft(undefined);
      setError(undefined);
      return;
    }
    const read = valueOf(field.fieldType, text);
    if ("error" in read) {
      setError(read.error);
      return;
    }
    setError(undefined);
    if ((await save(read.value)) !== false) setDraft(undefined);
  };
  const common = {
    id,
    "aria-label": field.label,
    "aria-invalid": error ? true : undefined,
    title: field.description,
    disabled,
    value: draft ?? start,
  };
  const kind = { [CustomFieldType.DATE]: "date", [CustomFieldType.DATE_TIME]: "datetime-local", [CustomFieldType.URL]: "url" } as Partial<Record<CustomFieldType, string>>;
  const long = field.fieldType === CustomFieldType.TEXT_LONG || field.fieldType === CustomFieldType.JSON;
  return (
    <div className="w-full min-w-0">
      {field.fieldType === CustomFieldType.BOOLEAN ? (
        <Select {...common} onChange={(event) => void done(event.target.value)}>
          <option value="">{t.none}</option>
          <option value="true">{t.yes}</option>
          <option value="false">{t.no}</option>
        </Select>
      ) : long ? (
        <TextArea
          {...common}
          rows={2}
          className={field.fieldType === CustomFieldType.JSON ? "font-mono text-xs" : ""}
          onChange={(event) => setDraft(event.target.value)}
          onBlur={(event) => void done(event.target.value)}
        />
      ) : (
        <Input
          {...common}
          type={kind[field.fieldType] ?? "text"}
          inputMode={field.fieldType === CustomFieldType.INTEGER ? "numeric" : field.fieldType === CustomFieldType.DECIMAL ? "decimal" : undefined}
          onChange={(event) => setDraft(event.target.value)}
          onBlur={(event) => void done(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && !event.nativeEvent.isComposing) {
              event.preventDefault();
              event.currentTarget.blur();
            }
          }}
        />
      )}
      {error && (
        <p role="alert" className="mt-0.5 text-xs text-bad-ink">
          {error}
        </p>
      )}
    </div>
  );
}
