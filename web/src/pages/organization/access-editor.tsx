import { useQuery } from "@tanstack/react-query";
import { Search } from "lucide-react";
import { useState } from "react";
import { boardsQuery } from "@/pages/boards/queries";
import organization from "@/texts/en/organization";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Input } from "@/ui/field";
import { Segments } from "@/ui/tabs";
import type { Access, Mode, Right } from "./access";

const t = texts("organization", organization);
const words = texts("ui", ui);

/** Chooses rights on boards: all, or board by board. */
export function AccessEditor({ value, onChange }: { value: Access; onChange: (value: Access) => void }) {
  const boards = useQuery(boardsQuery);
  const [query, setQuery] = useState("");
  const all = boards.data ?? [];
  const shown = all.filter((board) => board.name.toLowerCase().includes(query.trim().toLowerCase()));
  return (
    <fieldset className="space-y-2">
      <legend className="mb-1 text-xs font-medium">{t.access}</legend>
      <Segments<Mode> label={t.accessWhich} value={value.mode} onChange={(mode) => onChange({ ...value, mode })} options={(["write", "read", "some"] as const).map((mode) => ({ value: mode, label: t.accessModes[mode] }))} />
      {value.mode === "some" && (
        <div className="overflow-hidden rounded-md border">
          {all.length > 8 && (
            <div className="relative border-b">
              <Search size={14} aria-hidden className="pointer-events-none absolute top-2.25 left-3 text-subtle" />
              <Input type="search" aria-label={t.findBoard} placeholder={t.findBoard} value={query} onChange={(event) => setQuery(event.target.value)} className="border-0! pl-9!" />
            </div>
          )}
          <ul className="max-h-64 overflow-y-auto">
            {all.length === 0 && <li className="px-3 py-4 text-center text-muted">{boards.isPending ? words.loading : t.noBoards}</li>}
            {all.length > 0 && shown.length === 0 && <li className="px-3 py-4 text-center text-muted">{words.nothingFound}</li>}
            {shown.map((board) => (
              <li key={board.id} className="flex items-center gap-3 border-b border-line-soft! px-3 py-1.5 last:border-0!">
                <span className="min-w-0 flex-1 truncate">{board.name}</span>
                <Segments<Right>
                  label={t.boardRight(board.name)}
                  value={value.boards[board.id] ?? "none"}
                  onChange={(right) => onChange({ ...value, boards: { ...value.boards, [board.id]: right } })}
                  options={(["none", "read", "write"] as const).map((right) => ({ value: right, label: t.rights[right] }))}
                />
              </li>
            ))}
          </ul>
        </div>
      )}
    </fieldset>
  );
}
