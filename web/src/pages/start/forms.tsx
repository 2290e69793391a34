import { useQueryClient } from "@tanstack/react-query";
import { type Agent, AgentService } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { BoardService, TaskService } from "@/gen/missioncontrol/board/v1/board_pb";
import { OrganizationService } from "@/gen/missioncontrol/org/v1/org_pb";
import { api } from "@/lib/api";
import { useForm } from "@/lib/form";
import { jsonBytes } from "@/lib/rest";
import { slugOf } from "@/pages/boards/board-form";
import { FIRST_RULES, RuleSwitches } from "@/parts/board-rules";
import start from "@/texts/en/start";
import { texts } from "@/texts/catalogue";
import { Button } from "@/ui/button";
import { Field, FormFailure, Input, TextArea } from "@/ui/field";

const t = texts("start", start);

/** Names the organization. */
export function OrganizationForm({ current, onKeep }: { current: string; onKeep: () => void }) {
  const queries = useQueryClient();
  const form = useForm({
    initial: { name: "" },
    check: (values) => ({ name: values.name.trim() ? undefined : t.organization.missing }),
    send: async (values) => {
      await api(OrganizationService).updateMyOrganization({ name: values.name.trim() });
      await queries.invalidateQueries({ queryKey: ["organizations"] });
    },
  });
  return (
    <form onSubmit={form.submit} noValidate className="max-w-md space-y-4">
      <p className="text-sm text-muted">{t.organization.lead}</p>
      <FormFailure>{form.failure}</FormFailure>
      <Field label={t.organization.name} error={form.error("name")} required>
        <Input {...form.text("name")} placeholder={t.organization.placeholder} autoComplete="organization" />
      </Field>
      <div className="flex flex-wrap gap-2">
        <Button type="submit" variant="primary" busy={form.busy}>
          {t.organization.submit}
        </Button>
        <Button variant="ghost" onClick={onKeep}>
          {t.organization.keep(current)}
        </Button>
      </div>
    </form>
  );
}

/** Makes the first board. */
export function BoardForm({ gatewayId }: { gatewayId: string | undefined }) {
  const queries = useQueryClient();
  const form = useForm({
    initial: { name: "", description: "", requireApprovalForDone: true },
    check: (values) => ({ name: values.name.trim() ? undefined : t.board.nameMissing, description: values.description.trim() ? undefined : t.board.descriptionMissing }),
    send: async (values) => {
      await api(BoardService).createBoard({ name: values.name.trim(), slug: slugOf(values.name), description: values.description.trim(), gatewayId, requireApprovalForDone: values.requireApprovalForDone });
      await queries.invalidateQueries({ queryKey: ["boards"] });
    },
  });
  return (
    <form onSubmit={form.submit} noValidate className="max-w-md space-y-4">
      <p className="text-sm text-muted">{t.board.lead}</p>
      <FormFailure>{form.failure}</FormFailure>
      <Field label={t.board.name} error={form.error("name")} required>
        <Input {...form.text("name")} placeholder={t.board.namePlaceholder} autoComplete="off" />
      </Field>
      <Field label={t.board.description} error={form.error("description")} required>
        <TextArea rows={2} {...form.text("description")} placeholder={t.board.descriptionPlaceholder} />
      </Field>
      <RuleSwitches only={["requireApprovalForDone"]} value={{ ...FIRST_RULES, requireApprovalForDone: form.values.requireApprovalForDone }} onChange={(_, on) => form.set("requireApprovalForDone", on)} />
      <Button type="submit" variant="primary" busy={form.busy}>
        {t.board.submit}
      </Button>
    </form>
  );
}

/** Makes the first agent. */
export function AgentForm({ boardId }: { boardId: string }) {
  const queries = useQueryClient();
  const form = useForm({
    initial: { name: "", role: "", purpose: "" },
    check: (values) => ({ name: values.name.trim() ? undefined : t.agent.nameMissing }),
    send: async (values) => {
      const profile = Object.fromEntries(Object.entries({ role: values.role.trim(), purpose: values.purpose.trim() }).filter(([, value]) => value));
      await api(AgentService).createAgent({ name: values.name.trim(), boardId, identityProfile: Object.keys(profile).length > 0 ? jsonBytes(profile) : undefined });
      await queries.invalidateQueries({ queryKey: ["agents"] });
    },
  });
  return (
    <form onSubmit={form.submit} noValidate className="max-w-md space-y-4">
      <p className="text-sm text-muted">{t.agent.lead}</p>
      <FormFailure>{form.failure}</FormFailure>
      <div className="grid gap-4 sm:grid-cols-2">
        <Field label={t.agent.name} error={form.error("name")} required>
          <Input {...form.text("name")} placeholder={t.agent.namePlaceholder} autoComplete="off" />
        </Field>
        <Field label={t.agent.role} error={form.error("role")} optional>
          <Input {...form.text("role")} placeholder={t.agent.rolePlaceholder} />
        </Field>
      </div>
      <Field label={t.agent.purpose} hint={t.agent.more} error={form.error("purpose")} optional>
        <TextArea rows={2} {...form.text("purpose")} placeholder={t.agent.purposePlaceholder} />
      </Field>
      <Button type="submit" variant="primary" busy={form.busy}>
        {t.agent.submit}
      </Button>
    </form>
  );
}

/** Gives the first task. */
export function TaskForm({ boardId, agent }: { boardId: string; agent: Agent | undefined }) {
  const queries = useQueryClient();
  const form = useForm({
    initial: { title: "", description: "" },
    check: (values) => ({ title: values.title.trim() ? undefined : t.task.titleMissing }),
    send: async (values) => {
      await api(TaskService).createTask({ boardId, title: values.title.trim(), description: values.description.trim() || undefined, assignedAgentId: agent?.boardId === boardId ? agent.id : undefined });
      await queries.invalidateQueries({ queryKey: ["first-task"] });
    },
  });
  return (
    <form onSubmit={form.submit} noValidate className="max-w-md space-y-4">
      <p className="text-sm text-muted">{t.task.lead}</p>
      <FormFailure>{form.failure}</FormFailure>
      <Field label={t.task.title} error={form.error("title")} required>
        <Input {...form.text("title")} placeholder={t.task.titlePlaceholder} autoComplete="off" />
      </Field>
      <Field label={t.task.description} error={form.error("description")} optional>
        <TextArea rows={3} {...form.text("description")} />
      </Field>
      <Button type="submit" variant="primary" busy={form.busy}>
        {t.task.submit}
      </Button>
    </form>
  );
}
