// Approvals of all boards, and deciding them. No markup: the inbox decides too.
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { type Approval, ApprovalService, ApprovalStatus } from "@/gen/missioncontrol/approval/v1/approval_pb";
import { api } from "@/lib/api";
import { readAll } from "@/lib/pages";
import { json } from "@/lib/rest";
import approvals from "@/texts/en/approvals";
import { texts } from "@/texts/catalogue";
import { ask } from "@/ui/ask";
import { words } from "@/ui/json";
import { toast, toastError } from "@/ui/toast";

const t = texts("approvals", approvals);
const PAGE = 50;

/** What of the queue is looked at. */
export type View = "pending" | "approved" | "rejected" | "all";
export const VIEWS: readonly View[] = ["pending", "approved", "rejected", "all"];

const STATUS: Record<View, ApprovalStatus> = {
  pending: ApprovalStatus.PENDING,
  approved: ApprovalStatus.APPROVED,
  rejected: ApprovalStatus.REJECTED,
  all: ApprovalStatus.UNSPECIFIED,
};

/** What waits, all of it: the queue is never cut off. */
export const pendingQuery = (boardId: string) =>
  queryOptions({
    queryKey: ["approvals", "pending", boardId],
    queryFn: ({ signal }) => readAll((limit, offset) => api(ApprovalService).listAllApprovals({ status: ApprovalStatus.PENDING, boardId: boardId || undefined, limit, offset }, { signal })),
  });

/** What was decided, or everything, page by page. */
export const historyQuery = (view: View, boardId: string) =>
  infiniteQueryOptions({
    queryKey: ["approvals", "history", view, boardId],
    queryFn: ({ pageParam, signal }) => api(ApprovalService).listAllApprovals({ status: STATUS[view], boardId: boardId || undefined, limit: PAGE, offset: pageParam }, { signal }),
    initialPageParam: 0,
    getNextPageParam: (last, pages) => {
      const read = pages.reduce((sum, page) => sum + page.items.length, 0);
      return last.items.length > 0 && read < last.total ? read : undefined;
    },
  });

/** What is asked for, in words. */
export function actionName(approval: Pick<Approval, "actionType">): string {
  return words(approval.actionType);
}

/** The reason the requester gave. */
export function reasoning(approval: Pick<Approval, "payload">): string {
  const payload = json<{ reason?: unknown; decision?: { reason?: unknown } }>(approval.payload);
  const said = payload?.reason ?? payload?.decision?.reason;
  return typeof said === "string" ? said.trim() : "";
}

/** What the payload says beyond reason and tasks, which are shown by themselves. */
export function facts(approval: Pick<Approval, "payload">): Record<string, unknown> {
  const { reason: _, task_id: _1, task_ids: _2, taskId: _3, taskIds: _4, ...rest } = json<Record<string, unknown>>(approval.payload) ?? {};
  return Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null && value !== ""));
}

/** Scores by criterion, the lowest first: that is where to look. */
export function rubric(approval: Pick<Approval, "rubricScores">): { name: string; score: number }[] {
  return Object.entries(json<Record<string, unknown>>(approval.rubricScores) ?? {})
    .filter((entry): entry is [string, number] => typeof entry[1] === "number")
    .map(([name, score]) => ({ name: words(name), score }))
    .sort((a, b) => a.score - b.score);
}

/** Decides one approval, or several alike. Throws what the server says about a single one. */
async function decide(ids: readonly string[], status: ApprovalStatus.APPROVED | ApprovalStatus.REJECTED, reason: string): Promise<void> {
  for (let from = 0; from < ids.length; from += 100) {
    const { results, decided } = await api(ApprovalService).decideApprovals({ approvalIds: ids.slice(from, from + 100), status, reason: reason || undefined });
    const refused = results.filter((result) => !result.ok);
    const [first] = refused;
    if (ids.length === 1 && first) throw new Error(first.problem ?? t.failed);
    if (ids.length === 1) continue;
    if (decided > 0) toast({ tone: "ok", title: t.decidedMany(decided) });
    if (refused.length > 0) {
      toast({ tone: "bad", title: t.notDecided(refused.length), body: refused.map((result) => (result.approval ? `${actionName(result.approval)}: ` : "") + (result.problem ?? "")).slice(0, 4).join("\n") });
    }
  }
}

type Asked = Pick<Approval, "id" | "actionType">;

/** Approves at once. */
export async function approve(approval: Asked): Promise<boolean> {
  try {
    await decide([approval.id], ApprovalStatus.APPROVED, "");
    toast({ tone: "ok", title: t.approved(actionName(approval)) });
    return true;
  } catch (error) {
    toastError(error, t.failed);
    return false;
  }
}

/** Asks for a note, and approves. */
export function approveWithNote(approval: Asked): Promise<boolean> {
  return ask({
    title: t.approveTitle(actionName(approval)),
    label: t.note,
    hint: t.noteHint,
    action: t.approve,
    send: async (note) => {
      await decide([approval.id], ApprovalStatus.APPROVED, note);
      toast({ tone: "ok", title: t.approved(actionName(approval)) });
    },
  });
}

/** Asks why, and rejects. */
export function reject(approval: Asked): Promise<boolean> {
  return ask({
    title: t.rejectTitle(actionName(approval)),
    label: t.reason,
    hint: t.reasonHint,
    missing: t.reasonMissing,
    action: t.reject,
    danger: true,
    send: async (reason) => {
      await decide([approval.id], ApprovalStatus.REJECTED, reason);
      toast({ tone: "ok", title: t.rejected(actionName(approval)) });
    },
  });
}

/** Asks, and decides several alike. */
export function decideMany(chosen: readonly Asked[], yes: boolean): Promise<boolean> {
  const count = chosen.length;
  const names = [...new Set(chosen.map(actionName))];
  return ask({
    title: yes ? t.approveManyTitle(count) : t.rejectManyTitle(count),
    body: `${names.slice(0, 4).join(", ")}${names.length > 4 ? ` ${t.andMore(names.length - 4)}` : ""}. ${t.manyBody(count)}`,
    label: yes ? t.note : t.reason,
    hint: yes ? t.noteHint : t.reasonHint,
    missing: yes ? undefined : t.reasonMissing,
    action: yes ? t.approve : t.reject,
    danger: !yes,
    send: (reason) => decide(chosen.map((approval) => approval.id), yes ? ApprovalStatus.APPROVED : ApprovalStatus.REJECTED, reason),
  });
}
