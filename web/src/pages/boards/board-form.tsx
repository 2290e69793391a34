import { useQueryClient } from "@tanstack/react-query";
import { type Board, BoardService } from "@/gen/missioncontrol/board/v1/board_pb";
import { api } from "@/lib/api";
import { useForm } from "@/lib/form";
import { BoardPlaces, FIRST_RULES, RuleSwitches } from "@/parts/board-rules";
import boards from "@/texts/en/boards";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Dialog, DialogActions } from "@/ui/dialog";
import { Field, FormFailure, Input, TextArea } from "@/ui/field";
import { toast } from "@/ui/toast";

const t = texts("boards", boards);
const words = texts("ui", ui);

/** `Apollo programme` to `apollo-programme`. */
export function slugOf(name: string): string {
  return name
    .normalize("NFKD")
    .replace(/[̀-ͯ]/g, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
}

/** Creates a board, or changes one. */
export function BoardForm({ board, onClose, onDone }: { board?: Board; onClose: () => void; onDone?: (board: Board) => void }) {
  const queries = useQueryClient();
  const form = useForm({
    initial: {
      name: board?.name ?? "",
      slug: board?.slug ?? "",
      description: board?.description ?? "",
      objective: board?.objective ?? "",
      gatewayId: board?.gatewayId ?? "",
      boardGroupId: board?.boardGroupId ?? "",
      rules: FIRST_RULES,
    },
    send: async (values) => {
      const body = {
        name: values.name.trim(),
        slug: values.slug.trim() || slugOf(values.name),
        description: values.description.trim(),
        objective: values.objective.trim() || undefined,
        gatewayId: values.gatewayId || undefined,
        boardGroupId: values.boardGroupId || undefined,
      };
      const saved = board
        ? await api(BoardService).updateBoard({
            boardId: board.id,
            updateMask: { paths: ["name", "slug", "description", "objective", "gateway_id", "board_group_id"] },
            ...body,
          })
        : await api(BoardService).createBoard({ ...body, ...values.rules });
      void queries.invalidateQueries({ queryKey: ["boards"] });
      void queries.invalidateQueries({ queryKey: ["groups"] });
      toast({ tone: "ok", title: board ? t.saved : t.created(saved.name) });
      onClose();
      onDone?.(saved);
    },
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title={board ? t.editBoard : t.newBoard}
      footer={<DialogActions onCancel={onClose} submit={board ? words.save : words.create} busy={form.busy} form="board-form" />}
    >
      <form id="board-form" onSubmit={form.submit} className="space-y-4" noValidate>
        <FormFailure>{form.failure}</FormFailure>
        <Field label={t.name} error={form.error("name")} required>
          <Input autoFocus {...form.text("name")} />
        </Field>
        <Field label={t.description} hint={t.descriptionHint} error={form.error("description")} required>
          <TextArea {...form.text("description")} />
        </Field>
        <Field label={t.objective} hint={t.objectiveHint} error={form.error("objective")} optional>
          <TextArea rows={2} {...form.text("objective")} />
        </Field>
        <BoardPlaces gateway={form.text("gatewayId")} group={form.text("boardGroupId")} errors={{ gateway: form.error("gatewayId"), group: form.error("boardGroupId") }} />
        <Field label={t.slug} hint={t.slugHint} error={form.error("slug")} optional>
          <Input {...form.text("slug")} placeholder={slugOf(form.values.name)} />
        </Field>
        {/* Of a board that is there, rules are switched one by one in its settings. */}
        {!board && (
          <details className="rounded-md border px-3 py-2">
            <summary className="cursor-default text-xs font-medium">{t.rules}</summary>
            <div className="pt-3 pb-1">
              <RuleSwitches value={form.values.rules} onChange={(rule, on) => form.set("rules", { ...form.values.rules, [rule]: on })} />
            </div>
          </details>
        )}
      </form>
    </Dialog>
  );
}
