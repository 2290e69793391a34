import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { CustomFieldVisibility } from "@/gen/missioncontrol/board/v1/fields_pb";
import { type TaskStatus, TaskService } from "@/gen/missioncontrol/board/v1/board_pb";
import { api } from "@/lib/api";
import { toTimestamp } from "@/lib/format";
import { json, jsonBytes } from "@/lib/rest";
import { useForm } from "@/lib/form";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { Dialog, DialogActions } from "@/ui/dialog";
import { Checkbox, Field, FormFailure, Input, TextArea } from "@/ui/field";
import { Picker } from "@/ui/picker";
import { toast } from "@/ui/toast";
import { type BoardData, boardQuery, mergeTask } from "../data";
import { STATUS_WORDS } from "../filters";
import { PriorityIcon, priorityName, StatusIcon } from "../marks";
import { FieldInput } from "./field-input";
import { useBoardFields } from "./fields";
import { agentChoices, priorityChoices, STATUS_CHOICES, useDependencyChoices, useTagChoices } from "./choices";

const t = texts("board", board);
const CONTROL = "inline-flex h-8 max-w-56 items-center gap-1.5 rounded-md border border-line-strong bg-surface px-2.5 text-xs font-medium hover:bg-hover";

/** Writes down a task, with everything it can have. */
export default function NewTask({ boardId, data, status, onClose, onOpen }: { boardId: string; data: BoardData; status: TaskStatus; onClose: () => void; onOpen: (id: string) => void }) {
  const queries = useQueryClient();
  const [another, setAnother] = useState(false);
  const tags = useTagChoices();
  const dependencies = useDependencyChoices(data);
  const blank = { title: "", description: "", status, priority: "medium", assignedAgentId: "", dueAt: "", tagIds: [] as string[], dependsOnTaskIds: [] as string[], customFieldValues: {} as Record<string, unknown> };
  const form = useForm({
    initial: blank,
    check: (values) => ({ title: values.title.trim() === "" ? t.titleHint : undefined }),
    send: async (values) => {
      const task = await api(TaskService).createTask({
        boardId,
        title: values.title.trim(),
        description: values.description.trim() || undefined,
        status: values.status,
        priority: values.priority,
        assignedAgentId: values.assignedAgentId || undefined,
        dueAt: values.dueAt ? toTimestamp(new Date(`${values.dueAt}T12:00`)) : undefined,
        tagIds: values.tagIds,
        dependsOnTaskIds: values.dependsOnTaskIds,
        customFieldValues: Object.keys(values.customFieldValues).length > 0 ? jsonBytes(values.customFieldValues) : undefined,
      });
      queries.setQueryData(boardQuery(boardId).queryKey, (now) => now && mergeTask(now, task));
      toast({ tone: "ok", title: task.title, action: { label: t.openTask, run: () => onOpen(task.id) } });
      if (another) {
        form.reset({ ...blank, status: values.status, priority: values.priority, assignedAgentId: values.assignedAgentId, tagIds: values.tagIds });
        requestAnimationFrame(() => document.querySelector<HTMLElement>("#new-task input")?.focus());
      } else onClose();
    },
  });
  const { values } = form;
  // What every task needs, and what always shows; the rest is filled in beside the task.
  const fields = useBoardFields(boardId).filter((field) => field.required || field.uiVisibility === CustomFieldVisibility.ALWAYS);
  const assignee = data.agents.find((agent) => agent.id === values.assignedAgentId);
  const chosen = (names: readonly string[], label: string) => (names.length === 0 ? label : names.length === 1 ? names[0] : `${label}: ${names.length}`);
  return (
    <Dialog
      open
      onClose={onClose}
      title={t.newTask}
      size="lg"
      footer={
        <>
          <Checkbox label={t.createAnother} checked={another} onChange={(event) => setAnother(event.target.checked)} className="mr-auto" />
          <DialogActions onCancel={onClose} submit={t.create} busy={form.busy} form="new-task" />
        </>
      }
    >
      <form id="new-task" onSubmit={form.submit} className="space-y-4" noValidate>
        <FormFailure>{form.failure}</FormFailure>
        <Field label={t.title} error={form.error("title")} required>
          <Input autoFocus placeholder={t.titleHint} {...form.text("title")} />
        </Field>
        <Field label={t.description} error={form.error("description")} optional>
          <TextArea
            rows={4}
            {...form.text("description")}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.submit();
            }}
          />
        </Field>
        <div className="flex flex-wrap gap-2">
          <Picker label={t.statusLabel} choices={STATUS_CHOICES} value={[String(values.status)]} onChange={([value]) => form.set("status", Number(value))} className={CONTROL}>
            <StatusIcon status={values.status} />
            {t.status[STATUS_WORDS[values.status]]}
          </Picker>
          <Picker label={t.priority} choices={priorityChoices()} value={[values.priority]} onChange={([value]) => form.set("priority", value ?? "medium")} className={CONTROL}>
            <PriorityIcon priority={values.priority} />
            {priorityName(values.priority)}
          </Picker>
          <Picker label={t.assignee} choices={agentChoices(data)} value={[values.assignedAgentId]} onChange={([value]) => form.set("assignedAgentId", value ?? "")} className={CONTROL}>
            {assignee?.name ?? t.assignee}
          </Picker>
          <Picker label={t.tags} multiple empty={t.noTags} choices={tags} value={values.tagIds} onChange={(value) => form.set("tagIds", value)} className={CONTROL}>
            <span className="truncate">{chosen(tags.filter((tag) => values.tagIds.includes(tag.value)).map((tag) => tag.label), t.tags)}</span>
          </Picker>
          <Picker label={t.dependencies} multiple choices={dependencies} value={values.dependsOnTaskIds} onChange={(value) => form.set("dependsOnTaskIds", value)} className={CONTROL}>
            <span className="truncate">{chosen(values.dependsOnTaskIds.map((id) => data.tasks.get(id)?.title ?? ""), t.dependencies)}</span>
          </Picker>
          <label className={CONTROL}>
            <span className="text-muted">{t.due}</span>
            <input type="date" value={values.dueAt} onChange={(event) => form.set("dueAt", event.target.value)} className="bg-transparent outline-none" />
          </label>
        </div>
        {fields.length > 0 && (
          <div className="grid gap-4 sm:grid-cols-2">
            {fields.map((field) => (
              <Field key={field.id} label={field.label} hint={field.description} required={field.required} optional={!field.required}>
                <FieldInput
                  field={field}
                  value={values.customFieldValues[field.fieldKey] ?? json(field.defaultValue)}
                  save={(value) => {
                    form.set("customFieldValues", { ...values.customFieldValues, [field.fieldKey]: value });
                    return undefined;
                  }}
                />
              </Field>
            ))}
          </div>
        )}
        {["customFieldValues", "status", "assignedAgentId", "tagIds", "dependsOnTaskIds", "dueAt", "priority"].map((name) => {
          const error = form.error(name as keyof typeof values);
          return error ? <FormFailure key={name}>{error}</FormFailure> : null;
        })}
      </form>
    </Dialog>
  );
}

