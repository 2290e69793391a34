import { TaskStatus } from "@/gen/missioncontrol/board/v1/board_pb";
import { useForm } from "@/lib/form";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { Dialog, DialogActions } from "@/ui/dialog";
import { Field, FormFailure, TextArea } from "@/ui/field";
import type { TaskActions } from "../actions";

const t = texts("board", board);

/** Asks what was done, where the board wants it said before a review. */
export default function ReviewComment({ taskId, actions, onClose }: { taskId: string; actions: TaskActions; onClose: () => void }) {
  const form = useForm({
    initial: { comment: "" },
    send: async ({ comment }) => {
      await actions.update(taskId, { status: TaskStatus.REVIEW, comment }, { status: TaskStatus.REVIEW });
      onClose();
    },
  });
  return (
    <Dialog open onClose={onClose} title={t.commentForReview} description={t.commentForReviewBody} size="sm" footer={<DialogActions onCancel={onClose} submit={t.moveWithComment} busy={form.busy} form="review-comment" />}>
      <form id="review-comment" onSubmit={form.submit} noValidate className="space-y-3">
        <FormFailure>{form.failure}</FormFailure>
        <Field label={t.comments} error={form.error("comment")} required>
          <TextArea autoFocus {...form.text("comment")} />
        </Field>
      </form>
    </Dialog>
  );
}
