// What the rules say about a call, in words, and who could change it.
import { queryOptions, useQuery } from "@tanstack/react-query";
import { Check, X } from "lucide-react";
import { type AccessExplanation, AccessService } from "@/gen/missioncontrol/org/v1/access_pb";
import { api } from "@/lib/api";
import { personName } from "@/lib/me";
import { membersQuery } from "@/pages/organization/queries";
import access from "@/texts/en/access";
import { texts } from "@/texts/catalogue";
import { Badge } from "@/ui/badge";

const t = texts("access", access);
/** Names that are told when many could help. */
const NAMED = 4;

/** Whether somebody may call a method; oneself without a member. */
export const accessQuery = (question: { method: string; boardId?: string; memberId?: string }) =>
  queryOptions({
    queryKey: ["access", question.memberId ?? "", question.boardId ?? "", question.method],
    queryFn: ({ signal }) => api(AccessService).explainAccess(question, { signal }),
    retry: false,
  });

/** Yes or no, not by colour alone. */
export function Answer({ allowed }: { allowed: boolean }) {
  const Icon = allowed ? Check : X;
  return (
    <Badge tone={allowed ? "ok" : "bad"}>
      <Icon size={12} aria-hidden />
      {allowed ? t.yes : t.no}
    </Badge>
  );
}

/** The rule that decided; what is missing, and who gives it. */
export function Because({ verdict }: { verdict: AccessExplanation }) {
  const members = useQuery({ ...membersQuery, enabled: !verdict.allowed && verdict.grantedBy !== undefined }).data;
  if (verdict.allowed) return <>{t.rules[verdict.rule] ?? verdict.detail}</>;
  const roles = verdict.rule === "owner" ? ["owner"] : ["owner", "admin"];
  // Rules of keys are no matter of roles.
  const names = verdict.rule === "api_key_scope" ? [] : (members ?? []).filter((member) => roles.includes(member.role)).map((member) => personName(member.user));
  const shown = names.filter(Boolean).slice(0, NAMED).join(", ");
  return (
    <>
      {verdict.missing && t.missing(verdict.missing)} {!verdict.grantedBy ? t.nobodyGrants : shown ? t.grantedBy(verdict.grantedBy, names.length > NAMED ? `${shown}, …` : shown) : t.grants(verdict.grantedBy)}
    </>
  );
}
