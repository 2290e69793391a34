import { Pencil } from "lucide-react";
import { useState } from "react";
import type { TaskCard } from "@/gen/missioncontrol/board/v1/snapshot_pb";
import board from "@/texts/en/board";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Button, IconButton } from "@/ui/button";
import { TextArea } from "@/ui/field";
import { Markdown } from "@/ui/markdown";
import type { TaskActions } from "../actions";
import { type BoardData, touches } from "../data";
import { mentionNames } from "../mentions";

const t = texts("board", board);
const words = texts("ui", ui);

/** The description: read as markdown, changed in place. A change by somebody else meanwhile is not written over silently. */
export function Description({ task, data, actions, mayWrite }: { task: TaskCard; data: BoardData; actions: TaskActions; mayWrite: boolean }) {
  const [draft, setDraft] = useState<{ text: string; base: string }>();
  const [busy, setBusy] = useState(false);
  const now = task.description ?? "";
  const save = async () => {
    if (!draft) return;
    const description = draft.text.trim() || undefined;
    setBusy(true);
    const saved = draft.text === draft.base || (await actions.tryUpdate(task.id, { description }, { description }));
    setBusy(false);
    if (saved) setDraft(undefined);
  };
  if (draft) {
    const conflict = draft.base !== now;
    return (
      <div className="mt-3 space-y-2">
        <TextArea
          autoFocus
          rows={6}
          aria-label={t.description}
          value={draft.text}
          onChange={(event) => setDraft({ ...draft, text: event.target.value })}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void save();
            if (event.key === "Escape") {
              event.stopPropagation();
              if (draft.text === draft.base) setDraft(undefined);
            }
          }}
        />
        {conflict && (
          <div role="alert" className="flex flex-wrap items-center gap-2 rounded-md bg-warn-wash px-3 py-2 text-xs text-warn-ink">
            <span className="flex-1">{t.changedMeanwhile(touches.get().get(task.id)?.who ?? t.someone)}</span>
            <Button size="sm" onClick={() => setDraft({ text: draft.text, base: now })}>
              {t.keepMine}
            </Button>
            <Button size="sm" onClick={() => setDraft({ text: now, base: now })}>
              {t.takeTheirs}
            </Button>
          </div>
        )}
        <div className="flex justify-end gap-2">
          <Button size="sm" variant="ghost" onClick={() => setDraft(undefined)}>
            {words.cancel}
          </Button>
          <Button size="sm" variant="primary" busy={busy} disabled={conflict} onClick={() => void save()}>
            {words.save}
          </Button>
        </div>
      </div>
    );
  }
  const edit = () => setDraft({ text: now, base: now });
  if (now === "") {
    return mayWrite ? (
      <button type="button" onClick={edit} className="mt-3 w-full rounded-md border border-dashed px-3 py-2.5 text-left text-sm text-muted hover:bg-hover">
        {t.addDescription}
      </button>
    ) : null;
  }
  return (
    <div className="group relative mt-3 rounded-md border border-line-soft bg-surface px-3 py-2.5 pr-9">
      <Markdown text={now} mentions={mentionNames(data)} />
      {mayWrite && <IconButton icon={Pencil} size="sm" label={t.editDescription} onClick={edit} className="absolute top-2 right-2" />}
    </div>
  );
}
