import { useQueries, useQuery } from "@tanstack/react-query";
import { SquareKanban, UserCog } from "lucide-react";
import { useState } from "react";
import { AuditService } from "@/gen/missioncontrol/activity/v1/audit_pb";
import { WebhookService } from "@/gen/missioncontrol/activity/v1/activity_pb";
import { AgentService } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { CoordinationService } from "@/gen/missioncontrol/agent/v1/coordination_pb";
import { SkillService } from "@/gen/missioncontrol/agent/v1/skills_pb";
import { ApprovalService } from "@/gen/missioncontrol/approval/v1/approval_pb";
import { BoardService, TagService, TaskService } from "@/gen/missioncontrol/board/v1/board_pb";
import { MemoryService } from "@/gen/missioncontrol/board/v1/memory_pb";
import { SnapshotService } from "@/gen/missioncontrol/board/v1/snapshot_pb";
import { GatewayService } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { ApiKeyService } from "@/gen/missioncontrol/org/v1/keys_pb";
import { InviteService, type Member, MemberService, OrganizationService } from "@/gen/missioncontrol/org/v1/org_pb";
import { say } from "@/lib/errors";
import { meQuery, membershipQuery, personName, useIsAdmin } from "@/lib/me";
import { useForm } from "@/lib/form";
import { useSearchState } from "@/lib/search";
import { pathOf } from "@/lib/why";
import { boardsQuery } from "@/pages/boards/queries";
import { accessQuery, Answer, Because } from "@/parts/verdict";
import access from "@/texts/en/access";
import organization from "@/texts/en/organization";
import { texts } from "@/texts/catalogue";
import { Avatar, Badge } from "@/ui/badge";
import { Button, IconButton } from "@/ui/button";
import { Field, FormFailure, Input, Select } from "@/ui/field";
import { Card, Table } from "@/ui/page";
import { QueryView, Skeleton } from "@/ui/states";
import { MemberForm } from "./members";
import { membersQuery } from "./queries";

const t = texts("access", access);
const o = texts("organization", organization);

type Act = keyof typeof t.acts;

/** What people ask about most, by the method that does it. */
const ON_BOARD: readonly (readonly [Act, string])[] = [
  ["readBoard", pathOf(SnapshotService.method.getBoardSnapshot)],
  ["createTask", pathOf(TaskService.method.createTask)],
  ["updateTask", pathOf(TaskService.method.updateTask)],
  ["comment", pathOf(TaskService.method.createTaskComment)],
  ["chat", pathOf(MemoryService.method.createBoardMemory)],
  ["decide", pathOf(ApprovalService.method.updateApproval)],
  ["nudge", pathOf(CoordinationService.method.nudgeAgent)],
  ["boardSettings", pathOf(BoardService.method.updateBoard)],
  ["deleteBoard", pathOf(BoardService.method.deleteBoard)],
];
const IN_ORGANIZATION: readonly (readonly [Act, string])[] = [
  ["createBoard", pathOf(BoardService.method.createBoard)],
  ["tags", pathOf(TagService.method.createTag)],
  ["agents", pathOf(AgentService.method.createAgent)],
  ["gateways", pathOf(GatewayService.method.createGateway)],
  ["skills", pathOf(SkillService.method.installSkill)],
  ["invite", pathOf(InviteService.method.createInvite)],
  ["roles", pathOf(MemberService.method.updateMember)],
  ["keys", pathOf(ApiKeyService.method.createOrganizationApiKey)],
  ["webhooks", pathOf(WebhookService.method.createWebhook)],
  ["audit", pathOf(AuditService.method.listAuditEntries)],
  ["rename", pathOf(OrganizationService.method.updateMyOrganization)],
  ["deleteOrganization", pathOf(OrganizationService.method.deleteMyOrganization)],
];

/** Who may do what, on which board, and why; what is missing, and who gives it. Members ask about themselves. */
export default function WhoMay() {
  const admin = useIsAdmin();
  const me = useQuery(meQuery).data;
  const own = useQuery(membershipQuery);
  const members = useQuery(membersQuery);
  const boards = useQuery(boardsQuery);
  const [params, change] = useSearchState();
  const memberId = (admin && params.get("member")) || own.data?.id;
  const board = boards.data?.find((one) => one.id === params.get("board"));
  return (
    <QueryView query={own} skeleton={<Skeleton lines={6} />}>
      {(mine) => (
        <div className="space-y-5">
          <div className="flex flex-wrap items-end gap-3">
            <Field label={t.who} className="w-64 max-sm:w-full">
              <Select value={memberId} disabled={!admin} onChange={(event) => change({ member: event.target.value === mine.id ? null : event.target.value })}>
                {!members.data && <option value={mine.id}>{personName(me)}</option>}
                {members.data
                  ?.filter((member) => admin || member.id === mine.id)
                  .map((member) => (
                    <option key={member.id} value={member.id}>
                      {member.id === mine.id ? t.myself(personName(member.user)) : personName(member.user) || member.userId}
                    </option>
                  ))}
              </Select>
            </Field>
            <Field label={t.board} className="w-64 max-sm:w-full">
              <Select value={board?.id ?? ""} onChange={(event) => change({ board: event.target.value })}>
                <option value="">{t.noBoard}</option>
                {boards.data?.map((one) => (
                  <option key={one.id} value={one.id}>
                    {one.name}
                  </option>
                ))}
              </Select>
            </Field>
            <p className="flex-1 pb-1.5 text-xs text-muted">{t.lead}</p>
          </div>
          <div className="grid items-start gap-5 xl:grid-cols-2">
            <div className="space-y-5">
              <Card title={board ? board.name : t.onBoard} flush>
                {board ? (
                  <Verdicts label={board.name} acts={ON_BOARD} boardId={board.id} memberId={memberId} />
                ) : (
                  <p className="flex items-center justify-center gap-2 px-4 py-8 text-sm text-muted">
                    <SquareKanban size={16} aria-hidden />
                    {t.chooseBoard}
                  </p>
                )}
              </Card>
              {board && admin && members.data && <Reach board={board} members={members.data} ownId={mine.id} />}
            </div>
            <div className="space-y-5">
              <Card title={t.inOrganization} flush>
                <Verdicts label={t.inOrganization} acts={IN_ORGANIZATION} memberId={memberId} />
              </Card>
              <Other memberId={memberId} boardId={board?.id} />
            </div>
          </div>
        </div>
      )}
    </QueryView>
  );
}

function Verdicts({ label, acts, boardId, memberId }: { label: string; acts: readonly (readonly [Act, string])[]; boardId?: string; memberId?: string }) {
  const answers = useQueries({ queries: acts.map(([, method]) => accessQuery({ method, boardId, memberId })) });
  // Neighbours with the same reason share its words.
  const reasons = answers.map(({ data }, index) => (data ? [data.allowed, data.rule, data.missing, data.grantedBy].join("|") : `${index}`));
  const spans = reasons.map((reason, index) => (reason === reasons[index - 1] ? 0 : [...reasons.slice(index), ""].findIndex((other) => other !== reason)));
  return (
    <Table label={label} head={[t.act, t.answer, t.because]}>
      {acts.map(([act], index) => {
        const answer = answers[index];
        return (
          <tr key={act}>
            <td className="font-medium sm:whitespace-nowrap">{t.acts[act]}</td>
            <td>{answer?.data ? <Answer allowed={answer.data.allowed} /> : answer?.error ? "–" : <span className="skeleton block h-5 w-10" role="status" aria-label={t.asking} />}</td>
            {spans[index] !== 0 && (
              <td rowSpan={spans[index]} className="align-top text-xs text-muted">
                {answer?.data ? <Because verdict={answer.data} /> : answer?.error ? say(answer.error) : ""}
              </td>
            )}
          </tr>
        );
      })}
    </Table>
  );
}

/** Any operation there is, by whichever of its names somebody has at hand. */
function Other({ memberId, boardId }: { memberId?: string; boardId?: string }) {
  const [asked, setAsked] = useState("");
  const answer = useQuery({ ...accessQuery({ method: asked, boardId, memberId }), enabled: asked !== "" });
  const form = useForm({
    initial: { method: "" },
    send: ({ method }) => Promise.resolve(setAsked(method.trim())),
  });
  return (
    <Card title={t.method}>
      <form onSubmit={form.submit} className="space-y-3" noValidate>
        <div className="flex items-start gap-2">
          <Field label={t.method} hint={t.methodHint} error={answer.error ? say(answer.error) : undefined} className="min-w-0 flex-1">
            <Input className="font-mono text-xs" {...form.text("method")} spellCheck={false} autoCapitalize="off" />
          </Field>
          <Button type="submit" className="mt-5" busy={answer.isFetching}>
            {t.ask}
          </Button>
        </div>
        <FormFailure>{form.failure}</FormFailure>
        {answer.data && (
          <div className="space-y-1 text-sm" role="status">
            <p className="flex flex-wrap items-center gap-2">
              <Answer allowed={answer.data.allowed} /> <span className="min-w-0 break-words">{answer.data.detail}</span>
            </p>
            <p className="text-xs text-muted">
              <Because verdict={answer.data} />
            </p>
          </div>
        )}
      </form>
    </Card>
  );
}

/** Everybody's way to one board, as it was given. */
function Reach({ board, members, ownId }: { board: { id: string; name: string }; members: readonly Member[]; ownId: string }) {
  const [editing, setEditing] = useState<Member>();
  return (
    <Card title={t.reach(board.name)} flush>
      <ul className="py-1">
        {members.map((member) => {
          const grant = member.boardAccess.find((one) => one.boardId === board.id);
          const write = member.allBoardsWrite || grant?.canWrite;
          const read = write || member.allBoardsRead || grant?.canRead;
          const byAll = write ? member.allBoardsWrite : member.allBoardsRead;
          const name = personName(member.user) || member.userId;
          return (
            <li key={member.id} className="flex items-center gap-3 px-4 py-1.5">
              <Avatar name={name} size={22} />
              <div className="min-w-0 flex-1">
                <p className="truncate font-medium">
                  {name} <span className="font-normal text-subtle">· {o.roles[member.role as keyof typeof o.roles] ?? member.role}</span>
                </p>
                <p className="truncate text-xs text-muted">{read ? (byAll ? t.reachAll : t.reachOne) : t.reachNothing}</p>
              </div>
              <Badge tone={write ? "ok" : read ? "info" : "neutral"}>{write ? t.reachWrite : read ? t.reachRead : t.reachNone}</Badge>
              {member.id === ownId ? <span className="w-6" /> : <IconButton icon={UserCog} size="sm" label={`${t.change}: ${name}`} onClick={() => setEditing(member)} />}
            </li>
          );
        })}
      </ul>
      {editing && <MemberForm member={editing} onClose={() => setEditing(undefined)} />}
    </Card>
  );
}
