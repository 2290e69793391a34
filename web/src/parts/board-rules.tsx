// What is chosen for a board wherever one is made or changed: its rules, its gateway, its group.
import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { Link } from "wouter";
import { useIsAdmin } from "@/lib/me";
import { gatewaysQuery, groupsQuery } from "@/pages/boards/queries";
import rules from "@/texts/en/rules";
import { texts } from "@/texts/catalogue";
import { Field, Select, Switch } from "@/ui/field";

const t = texts("rules", rules);

/** The rules of a board, by the contract's names. */
export const RULES = ["requireApprovalForDone", "requireReviewBeforeDone", "commentRequiredForReview", "blockStatusChangesWithPendingApproval", "onlyLeadCanChangeStatus"] as const;
export type Rule = (typeof RULES)[number];
export type Rules = Record<Rule, boolean>;

/** What a board begins with when nobody says otherwise. */
export const FIRST_RULES: Rules = { requireApprovalForDone: true, requireReviewBeforeDone: false, commentRequiredForReview: false, blockStatusChangesWithPendingApproval: false, onlyLeadCanChangeStatus: false };

/** A switch for each rule. `disabled`: all, or some of them. */
export function RuleSwitches({ value, onChange, only = RULES, disabled }: { value: Pick<Rules, Rule>; onChange: (rule: Rule, on: boolean) => void; only?: readonly Rule[]; disabled?: boolean | ((rule: Rule) => boolean) }) {
  return (
    <div className="space-y-4">
      {only.map((rule) => (
        <Switch key={rule} checked={value[rule]} onChange={(on) => onChange(rule, on)} label={t.names[rule]} hint={t.hints[rule]} disabled={typeof disabled === "function" ? disabled(rule) : disabled} />
      ))}
    </div>
  );
}

interface Choosing {
  value: string;
  onChange: (event: { target: { value: string } }) => void;
}

/** The gateway and the group of a board, side by side. */
export function BoardPlaces({ gateway, group, errors }: { gateway: Choosing; group: Choosing; errors: { gateway?: string; group?: string } }) {
  const admin = useIsAdmin();
  // Gateways are for owners and admins to see.
  const gateways = useQuery({ ...gatewaysQuery, enabled: admin });
  const groups = useQuery(groupsQuery);
  // Where there is one only, nobody has to choose.
  const only = gateways.data?.length === 1 ? gateways.data[0]?.id : undefined;
  const { value, onChange } = gateway;
  useEffect(() => {
    if (only && value === "") onChange({ target: { value: only } });
    // Once, when it is known: what somebody chooses then is theirs.
  }, [only]);
  const unknown = gateway.value !== "" && !gateways.data?.some((one) => one.id === gateway.value);
  return (
    <div className="grid gap-4 sm:grid-cols-2">
      <Field
        label={t.gateway}
        hint={
          gateways.data?.length === 0 ? (
            <>
              {t.gatewayNone}{" "}
              <Link to="/gateways/new" className="rounded-sm font-medium text-info-ink hover:underline">
                {t.gatewayConnect}
              </Link>
            </>
          ) : (
            t.gatewayHint
          )
        }
        error={errors.gateway}
        required
      >
        <Select {...gateway} disabled={!admin}>
          <option value="">{t.noGateway}</option>
          {unknown && <option value={gateway.value}>…</option>}
          {gateways.data?.map((one) => (
            <option key={one.id} value={one.id}>
              {one.name}
            </option>
          ))}
        </Select>
      </Field>
      <Field label={t.group} hint={t.groupHint} error={errors.group} optional>
        <Select {...group}>
          <option value="">{t.noGroup}</option>
          {groups.data?.map((one) => (
            <option key={one.id} value={one.id}>
              {one.name}
            </option>
          ))}
        </Select>
      </Field>
    </div>
  );
}
