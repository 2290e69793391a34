import { type Approval, ApprovalStatus } from "@/gen/missioncontrol/approval/v1/approval_pb";
import { toDate } from "@/lib/format";
import approvals from "@/texts/en/approvals";
import { texts } from "@/texts/catalogue";
import { Badge, Dot, type Tone } from "@/ui/badge";
import { cx } from "@/ui/cx";
import { Checkbox } from "@/ui/field";
import { Time } from "@/ui/time";
import { actionName, reasoning } from "./queries";

const t = texts("approvals", approvals);

/** Word and colour of a state. */
export function standing(approval: Approval): { label: string; tone: Tone } {
  if (approval.status === ApprovalStatus.APPROVED) return { label: t.status.approved, tone: "ok" };
  if (approval.status === ApprovalStatus.REJECTED) return approval.expired ? { label: t.status.expired, tone: "neutral" } : { label: t.status.rejected, tone: "bad" };
  return { label: t.status.pending, tone: "signal" };
}

/** The queue. */
export function Rows({
  approvals: all,
  current,
  decidable,
  selected,
  onOpen,
  onSelect,
  onSelectAll,
}: {
  approvals: readonly Approval[];
  current: string | undefined;
  /** Those that can be selected, for deciding many at once. */
  decidable: readonly string[];
  selected: readonly string[];
  onOpen: (approval: Approval) => void;
  onSelect: (id: string) => void;
  onSelectAll?: () => void;
}) {
  return (
    <>
      {onSelectAll && (
        <Checkbox
          label={<span className="text-xs text-muted">{t.selectAll}</span>}
          checked={selected.length === decidable.length}
          ref={(box: HTMLInputElement | null) => {
            if (box) box.indeterminate = selected.length > 0 && selected.length < decidable.length;
          }}
          onChange={onSelectAll}
          className="h-9 border-b px-4"
        />
      )}
      <ul aria-label={t.approvals}>
        {all.map((approval) => {
          const { label, tone } = standing(approval);
          const pending = approval.status === ApprovalStatus.PENDING;
          const selectable = decidable.includes(approval.id);
          const about = approval.taskTitles[0] ?? reasoning(approval);
          return (
            <li key={approval.id} className={cx("flex items-start border-b border-line-soft!", approval.id === current && "lg:bg-pressed")}>
              {selectable && (
                <label className="flex shrink-0 cursor-pointer items-start self-stretch py-3.5 pr-2 pl-4">
                  <input type="checkbox" aria-label={t.select(actionName(approval))} checked={selected.includes(approval.id)} onChange={() => onSelect(approval.id)} className="size-3.5 accent-(--primary)" />
                </label>
              )}
              <button
                id={`approval-${approval.id}`}
                type="button"
                aria-current={approval.id === current || undefined}
                onClick={() => onOpen(approval)}
                className={cx("min-w-0 flex-1 py-2.5 pr-4 text-left -outline-offset-2 hover:bg-hover", selectable ? "pl-1.5" : "pl-4", approval.id === current && "lg:[&_.text-subtle]:text-muted")}
              >
                <span className="flex items-baseline gap-2">
                  <span className="min-w-0 flex-1 truncate font-medium">{actionName(approval)}</span>
                  <Time at={pending ? approval.createdAt : (approval.resolvedAt ?? approval.createdAt)} className="shrink-0 text-xs text-subtle" />
                </span>
                {about && <span className="mt-0.5 block truncate text-muted">{about}</span>}
                <span className="mt-1 flex items-center gap-2 text-xs text-subtle">
                  {!pending && (
                    <Badge tone={tone} dot>
                      {label}
                    </Badge>
                  )}
                  <span className="truncate">
                    {approval.requestedByName || t.somebody}
                    {approval.boardName && ` · ${approval.boardName}`}
                  </span>
                  {pending && approval.expiresAt && (
                    <span className={cx("ml-auto flex shrink-0 items-center gap-1", toDate(approval.expiresAt).getTime() - Date.now() < 3_600_000 && "text-warn-ink")}>
                      <Dot tone="warn" />
                      {t.expires} <Time at={approval.expiresAt} />
                    </span>
                  )}
                </span>
              </button>
            </li>
          );
        })}
      </ul>
    </>
  );
}
