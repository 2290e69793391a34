import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Check, X } from "lucide-react";
import { useState } from "react";
import { type Approval, ApprovalService, ApprovalStatus } from "@/gen/missioncontrol/approval/v1/approval_pb";
import { MemberService } from "@/gen/missioncontrol/org/v1/org_pb";
import { api } from "@/lib/api";
import { percent } from "@/lib/format";
import { personName } from "@/lib/me";
import { readAll } from "@/lib/pages";
import { json } from "@/lib/rest";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { Field, TextArea } from "@/ui/field";
import { words } from "@/ui/json";
import { Time } from "@/ui/time";
import { toastError } from "@/ui/toast";
import { type BoardData, boardQuery, mergeApproval } from "../data";

const t = texts("board", board);

/** Approvals of a task: what is asked, why, and the decision, taken here. */
export function TaskApprovals({ boardId, taskId, data, mayWrite }: { boardId: string; taskId: string; data: BoardData; mayWrite: boolean }) {
  const linked = data.approvals.filter((approval) => approval.taskIds.includes(taskId));
  if (linked.length === 0) return <p className="py-2 text-sm text-muted">{t.noApprovals}</p>;
  return (
    <ul className="space-y-3">
      {linked.map((approval) => (
        <li key={approval.id}>
          <ApprovalCard boardId={boardId} approval={approval} data={data} mayWrite={mayWrite} />
        </li>
      ))}
    </ul>
  );
}

function ApprovalCard({ boardId, approval, data, mayWrite }: { boardId: string; approval: Approval; data: BoardData; mayWrite: boolean }) {
  const queries = useQueryClient();
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState<ApprovalStatus>();
  const members = useQuery({
    queryKey: ["members", "names"],
    queryFn: async ({ signal }) => new Map((await readAll((limit, offset) => api(MemberService).listMembers({ limit, offset }, { signal }))).map((member) => [member.userId, personName(member.user)])),
  });
  const payload = json<Record<string, unknown>>(approval.payload) ?? {};
  const rubric = Object.entries(json<Record<string, number>>(approval.rubricScores) ?? {});
  const asker = approval.agentId ? (data.agents.find((agent) => agent.id === approval.agentId)?.name ?? t.deletedAgent) : t.person;
  const pending = approval.status === ApprovalStatus.PENDING;
  const decide = async (status: ApprovalStatus) => {
    setBusy(status);
    try {
      const decided = await api(ApprovalService).updateApproval({ boardId, approvalId: approval.id, status, reason: reason.trim() || undefined });
      queries.setQueryData(boardQuery(boardId).queryKey, (now) => now && mergeApproval(now, decided));
    } catch (error) {
      toastError(error, t.notDecided);
    } finally {
      setBusy(undefined);
    }
  };
  const decider = (approval.resolvedByUserId && members.data?.get(approval.resolvedByUserId)) || t.person;
  return (
    <article className="rounded-lg border bg-surface p-3">
      <header className="flex flex-wrap items-center gap-2">
        <h3 className="min-w-0 flex-1 font-medium">{words(approval.actionType)}</h3>
        <Badge tone={pending ? "warn" : approval.status === ApprovalStatus.APPROVED ? "ok" : "bad"} dot>
          {pending ? t.pending : approval.status === ApprovalStatus.APPROVED ? t.approvedBy(decider) : t.rejectedBy(decider)}
        </Badge>
      </header>
      <p className="mt-0.5 text-xs text-muted">
        {asker} · <Time at={approval.createdAt} /> · {t.confidence(percent(approval.confidence / 100))}
      </p>
      {Object.keys(payload).length > 0 && (
        <dl className="mt-2 grid grid-cols-[auto_minmax(0,1fr)] gap-x-3 gap-y-1 text-xs">
          {Object.entries(payload).map(([key, value]) => (
            <div key={key} className="contents">
              <dt className="text-muted">{key.replaceAll("_", " ")}</dt>
              <dd className="break-words whitespace-pre-wrap">{typeof value === "string" ? value : JSON.stringify(value)}</dd>
            </div>
          ))}
        </dl>
      )}
      {rubric.length > 0 && (
        <ul className="mt-2 space-y-1">
          {rubric.map(([name, score]) => (
            <li key={name} className="flex items-center gap-2 text-xs">
              <span className="w-28 truncate text-muted">{name.replaceAll("_", " ")}</span>
              <span aria-hidden className="h-1.5 flex-1 overflow-hidden rounded-full bg-sunken">
                <span className="block h-full rounded-full bg-subtle" style={{ width: `${Math.max(0, Math.min(100, score))}%` }} />
              </span>
              <span className="w-7 text-right tabular">{score}</span>
            </li>
          ))}
        </ul>
      )}
      {approval.decisionReason && <p className="mt-2 border-l-2 pl-2 text-sm text-muted">{approval.decisionReason}</p>}
      {pending && mayWrite && (
        <div className="mt-3 space-y-2">
          <Field label={t.reason} hint={t.reasonHint} optional>
            <TextArea rows={1} className="min-h-8" value={reason} onChange={(event) => setReason(event.target.value)} />
          </Field>
          <div className="flex gap-2">
            <Button size="sm" variant="primary" icon={Check} busy={busy === ApprovalStatus.APPROVED} onClick={() => void decide(ApprovalStatus.APPROVED)}>
              {t.approve}
            </Button>
            <Button size="sm" icon={X} busy={busy === ApprovalStatus.REJECTED} onClick={() => void decide(ApprovalStatus.REJECTED)}>
              {t.reject}
            </Button>
          </div>
        </div>
      )}
    </article>
  );
}
