// Filtering by the values of custom fields; nothing shows where no task has any.
import { useQuery } from "@tanstack/react-query";
import { Picker } from "@/ui/picker";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { boardQuery } from "./data";
import { fieldsQuery } from "./task/fields-query";
import { json } from "@/lib/rest";
import { useMemo } from "react";

const t = texts("board", board);

/** Chooses among the values that custom fields have on the board's tasks. */
export function FieldFilter({ boardId, values, onChange, className }: { boardId: string; values: readonly string[]; onChange: (values: string[]) => void; className: string }) {
  const { data } = useQuery({ ...boardQuery(boardId), enabled: false });
  const labels = new Map(useQuery({ ...fieldsQuery, staleTime: Number.POSITIVE_INFINITY }).data?.map((field) => [field.fieldKey, field.label]));
  const choices = useMemo(() => {
    const found = new Map<string, { value: string; label: string; note: string }>();
    for (const task of data?.tasks.values() ?? []) {
      if (!task.customFieldValues || task.customFieldValues.length <= 2) continue;
      for (const [key, value] of Object.entries(json<Record<string, unknown>>(task.customFieldValues) ?? {})) {
        if (value === null || value === "" || typeof value === "object") continue;
        const id = `${key}=${String(value)}`;
        if (found.size < 300) found.set(id, { value: id, label: typeof value === "boolean" ? (value ? t.yes : t.no) : String(value), note: key });
      }
    }
    return [...found.values()].sort((a, b) => a.note.localeCompare(b.note) || a.label.localeCompare(b.label));
  }, [data]);
  if (choices.length === 0 && values.length === 0) return null;
  return (
    <Picker prefix={false} label={t.fields} multiple choices={choices.map((choice) => ({ ...choice, note: labels.get(choice.note) ?? choice.note }))} value={values} onChange={onChange} className={className}>
      {values.length === 1 ? `${t.fields}: ${(values[0] ?? "").replace("=", " ")}` : t.fields}
    </Picker>
  );
}
