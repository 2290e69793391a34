import { useQuery } from "@tanstack/react-query";
import { ArrowLeft, Check, CircleCheck, CircleX, Clock, MessageSquareText, X } from "lucide-react";
import type { ReactNode } from "react";
import { Link } from "wouter";
import { type Approval, ApprovalStatus } from "@/gen/missioncontrol/approval/v1/approval_pb";
import { number } from "@/lib/format";
import { meQuery, useMayWrite } from "@/lib/me";
import approvals from "@/texts/en/approvals";
import { texts } from "@/texts/catalogue";
import { Avatar, Badge, Key, type Tone } from "@/ui/badge";
import { Button } from "@/ui/button";
import { Meter } from "@/ui/chart";
import { cx } from "@/ui/cx";
import { JsonView } from "@/ui/json";
import { Time } from "@/ui/time";
import { actionName, facts, reasoning, rubric } from "./queries";
import { standing } from "./rows";

const t = texts("approvals", approvals);

/** Confidence as a colour; the number stands beside it. Scores have none: of some criteria less is better. */
function confidenceTone(value: number): Tone {
  return value >= 75 ? "ok" : value >= 50 ? "warn" : "bad";
}

/** One approval with all that helps to decide, or with the decision. */
export function Detail({ approval, onBack, onApprove, onNote, onReject }: { approval: Approval; onBack: () => void; onApprove: () => void; onNote: () => void; onReject: () => void }) {
  const { data: me } = useQuery(meQuery);
  const mayWrite = useMayWrite(approval.boardId);
  const { label, tone } = standing(approval);
  const pending = approval.status === ApprovalStatus.PENDING;
  const own = Boolean(me && approval.requestedByUserId === me.id);
  const why = reasoning(approval);
  const scores = rubric(approval);
  const rest = facts(approval);
  const who = approval.requestedByName || t.somebody;
  const hidden = approval.taskIds.length - approval.taskTitles.length;
  return (
    <article aria-label={actionName(approval)} className="flex h-full flex-col">
      <div className="min-h-0 flex-1 overflow-y-auto" tabIndex={-1}>
        <div className="mx-auto max-w-3xl space-y-6 px-4 py-5 sm:px-8">
          <header>
            <Button variant="ghost" size="sm" icon={ArrowLeft} onClick={onBack} className="mb-2 -ml-2 lg:hidden">
              {t.back}
            </Button>
            <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
              <h2 className="min-w-0 text-xl font-semibold tracking-[-0.01em] break-words">{actionName(approval)}</h2>
              <Badge tone={tone} dot>
                {label}
              </Badge>
            </div>
            <p className="mt-1.5 flex flex-wrap items-center gap-x-2 gap-y-1 text-muted">
              <span className="flex items-center gap-1.5">
                <Avatar name={who} kind={approval.agentId ? "agent" : "person"} size={18} />
                {t.asks(who)}
              </span>
              <span aria-hidden>·</span>
              <Link to={`/boards/${approval.boardId}`} className="rounded-sm underline decoration-line-strong underline-offset-2 hover:text-ink">
                {approval.boardName || t.openBoard}
              </Link>
              <span aria-hidden>·</span>
              <Time at={approval.createdAt} />
              {pending && approval.expiresAt && (
                <span className="flex items-center gap-1 text-warn-ink">
                  <Clock size={13} aria-hidden />
                  {t.expires} <Time at={approval.expiresAt} />
                </span>
              )}
            </p>
          </header>

          {!pending && <Decision approval={approval} />}

          <Part title={t.why}>{why ? <p className="text-base leading-relaxed break-words whitespace-pre-wrap">{why}</p> : <p className="text-subtle">{t.noWhy}</p>}</Part>

          {approval.taskIds.length > 0 && (
            <Part title={t.tasks(approval.taskIds.length)}>
              <ul className="space-y-1">
                {approval.taskTitles.map((title, index) => {
                  // Titles are those of tasks that exist: with one gone, it is not known which.
                  const id = hidden === 0 ? approval.taskIds[index] : undefined;
                  return (
                    <li key={`${index}-${title}`}>
                      {id ? (
                        <Link to={`/boards/${approval.boardId}/tasks/${id}`} className="rounded-sm font-medium underline decoration-line-strong underline-offset-2 hover:decoration-ink">
                          {title}
                        </Link>
                      ) : (
                        title
                      )}
                    </li>
                  );
                })}
                {hidden > 0 && <li className="text-subtle">{t.goneTasks(hidden)}</li>}
              </ul>
            </Part>
          )}

          <div className={cx("grid gap-6", scores.length > 0 && "sm:grid-cols-[220px_1fr]")}>
            <Part title={t.confidence}>
              <p className="mb-1.5">
                <span className="text-2xl font-semibold tabular">{number(approval.confidence, { maximumFractionDigits: 1 })}</span>
                <span className="text-subtle"> / {number(100)}</span>
              </p>
              <Meter value={approval.confidence} label={t.confidence} tone={confidenceTone(approval.confidence)} className="max-w-[220px]" />
            </Part>
            {scores.length > 0 && (
              <Part title={t.rubric}>
                <ul className="space-y-2">
                  {scores.map(({ name, score }) => (
                    <li key={name} className="grid grid-cols-[minmax(80px,140px)_1fr_2.25rem] items-center gap-3">
                      <span className="truncate text-muted" title={name}>
                        {name}
                      </span>
                      <Meter value={score} label={name} />
                      <span className="text-right font-medium tabular">{number(score)}</span>
                    </li>
                  ))}
                </ul>
              </Part>
            )}
          </div>

          {Object.keys(rest).length > 0 && (
            <Part title={t.payload}>
              <div className="rounded-lg border bg-surface p-4">
                <JsonView value={rest} />
              </div>
            </Part>
          )}
        </div>
      </div>
      {pending && (
        <footer className="shrink-0 border-t bg-canvas px-4 py-3 sm:px-8">
          <div className="mx-auto flex max-w-3xl flex-wrap items-center gap-2">
            {own || !mayWrite ? (
              <p className="text-muted">{own ? t.own : t.readOnly}</p>
            ) : (
              <>
                <Button variant="primary" size="lg" icon={Check} onClick={onApprove}>
                  {t.approve}
                  <span className="ml-1 hidden sm:block">
                    <Key>A</Key>
                  </span>
                </Button>
                <Button size="lg" icon={X} onClick={onReject}>
                  {t.reject}
                  <span className="ml-1 hidden sm:block">
                    <Key>R</Key>
                  </span>
                </Button>
                <Button size="lg" variant="ghost" icon={MessageSquareText} onClick={onNote}>
                  <span className="max-sm:sr-only">{t.approveWith}</span>
                </Button>
                <span className="ml-auto hidden text-xs text-subtle md:block">{t.final}</span>
              </>
            )}
          </div>
        </footer>
      )}
    </article>
  );
}

function Decision({ approval }: { approval: Approval }) {
  const approved = approval.status === ApprovalStatus.APPROVED;
  const Icon = approval.expired ? Clock : approved ? CircleCheck : CircleX;
  return (
    <section aria-label={t.decision} className={cx("flex gap-3 rounded-lg px-4 py-3", approval.expired ? "bg-sunken" : approved ? "bg-ok-wash text-ok-ink" : "bg-bad-wash text-bad-ink")}>
      <Icon size={18} aria-hidden className="mt-0.5 shrink-0" />
      <div className="min-w-0">
        <p className="font-medium">
          {approval.expired ? t.nobodyDecided : t.decidedBy(approval.resolvedByName || t.somebody, approved)} <Time at={approval.resolvedAt} className="font-normal" />
        </p>
        <p className="mt-0.5 break-words whitespace-pre-wrap">{approval.decisionReason || (!approval.expired && t.noReason)}</p>
      </div>
    </section>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section>
      <h3 className="mb-2 text-xs font-medium text-subtle">{title}</h3>
      {children}
    </section>
  );
}
