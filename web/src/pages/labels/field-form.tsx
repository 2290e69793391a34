import { useQuery, useQueryClient } from "@tanstack/react-query";
import { ChevronsUpDown } from "lucide-react";
import { useState } from "react";
import type { Board } from "@/gen/missioncontrol/board/v1/board_pb";
import { type CustomField, CustomFieldService } from "@/gen/missioncontrol/board/v1/fields_pb";
import { api } from "@/lib/api";
import { list } from "@/lib/format";
import { useForm } from "@/lib/form";
import { json, jsonBytes } from "@/lib/rest";
import { boardsQuery } from "@/pages/boards/queries";
import labels from "@/texts/en/labels";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Dialog, DialogActions } from "@/ui/dialog";
import { Field, FormFailure, Input, Select, Switch, TextArea } from "@/ui/field";
import { Picker } from "@/ui/picker";
import { toast } from "@/ui/toast";
import { defaultText, defaultValue, keyOf, matches, takesPattern, TYPES, type TypeWord, typeWord, VISIBILITIES, visibilityWord } from "./values";

const t = texts("labels", labels);
const words = texts("ui", ui);

/** Defines a custom field, or changes one. */
export function FieldForm({ field, onClose }: { field?: CustomField; onClose: () => void }) {
  // What is chosen at first depends on which boards there are.
  const boards = useQuery(boardsQuery);
  return boards.isPending ? null : <Form field={field} boards={boards.data ?? []} onClose={onClose} />;
}

function Form({ field, boards, onClose }: { field?: CustomField; boards: readonly Board[]; onClose: () => void }) {
  const queries = useQueryClient();
  const [trial, setTrial] = useState("");
  const initialType = field ? typeWord(field.fieldType) : "text";
  const form = useForm({
    initial: {
      label: field?.label ?? "",
      fieldKey: field?.fieldKey ?? "",
      fieldType: initialType as TypeWord,
      uiVisibility: field ? visibilityWord(field.uiVisibility) : "always",
      validationRegex: field?.validationRegex ?? "",
      description: field?.description ?? "",
      required: field?.required ?? false,
      defaultValue: field ? defaultText(initialType, json(field.defaultValue)) : "",
      boardIds: field?.boardIds ?? (boards.length === 1 ? boards.map((board) => board.id) : []),
    },
    check: (values) => ({
      label: values.label.trim() ? undefined : t.nameMissing,
      fieldKey: (values.fieldKey.trim() || keyOf(values.label)) === "" ? t.keyMissing : undefined,
      boardIds: values.boardIds.length > 0 ? undefined : t.boardsMissing,
      validationRegex: takesPattern(values.fieldType) && values.validationRegex && matches(values.validationRegex, "") === undefined ? t.regexWrong : undefined,
      defaultValue: wrongDefault(values.fieldType, values.defaultValue),
    }),
    send: async (values) => {
      const preset = defaultValue(values.fieldType, values.defaultValue);
      const body = {
        label: values.label.trim(),
        fieldType: values.fieldType,
        uiVisibility: values.uiVisibility,
        validationRegex: takesPattern(values.fieldType) ? values.validationRegex || undefined : undefined,
        description: values.description.trim() || undefined,
        required: values.required,
        defaultValue: preset === undefined ? undefined : jsonBytes(preset),
      };
      const saved = field
        ? await api(CustomFieldService).updateCustomField({
            taskCustomFieldDefinitionId: field.id,
            updateMask: { paths: ["label", "field_type", "ui_visibility", "validation_regex", "description", "required", "default_value", "board_ids"] },
            boardIds: { items: [...values.boardIds] },
            ...body,
          })
        : await api(CustomFieldService).createCustomField({ fieldKey: values.fieldKey.trim() || keyOf(values.label), boardIds: [...values.boardIds], ...body });
      void queries.invalidateQueries({ queryKey: ["custom-fields"] });
      toast({ tone: "ok", title: field ? t.saved : t.created(saved.label) });
      onClose();
    },
  });
  const { values } = form;
  const names = boards.filter((board) => values.boardIds.includes(board.id)).map((board) => board.name);
  const fits = trial !== "" && values.validationRegex !== "" ? matches(values.validationRegex, trial) : undefined;
  return (
    <Dialog open onClose={onClose} title={field ? t.editField : t.newField} footer={<DialogActions onCancel={onClose} submit={field ? words.save : words.create} busy={form.busy} form="field-form" />}>
      <form id="field-form" onSubmit={form.submit} className="space-y-4" noValidate>
        <FormFailure>{form.failure}</FormFailure>
        <div className="grid gap-4 sm:grid-cols-2">
          <Field label={t.label} hint={t.labelHint} error={form.error("label")} required>
            <Input autoFocus {...form.text("label")} />
          </Field>
          <Field label={t.key} hint={field ? t.keyFixed : t.keyHint} error={form.error("fieldKey")} optional={!field}>
            <Input {...form.text("fieldKey")} disabled={Boolean(field)} placeholder={keyOf(values.label)} className="font-mono text-xs" />
          </Field>
          <Field label={t.type} hint={field ? t.typeHint : undefined} error={form.error("fieldType")}>
            <Select
              value={values.fieldType}
              onChange={(event) => {
                form.set("fieldType", event.target.value as TypeWord);
                form.set("defaultValue", "");
              }}
            >
              {Object.keys(TYPES).map((type) => (
                <option key={type} value={type}>
                  {t.types[type]}
                </option>
              ))}
            </Select>
          </Field>
          <Field label={t.visibility} error={form.error("uiVisibility")}>
            <Select value={values.uiVisibility} onChange={(event) => form.set("uiVisibility", event.target.value as typeof values.uiVisibility)}>
              {Object.keys(VISIBILITIES).map((visibility) => (
                <option key={visibility} value={visibility}>
                  {t.visibilities[visibility]}
                </option>
              ))}
            </Select>
          </Field>
        </div>
        <div className="space-y-1">
          <span className="block text-xs font-medium">{t.boards}</span>
          <Picker
            label={`${t.boards}: ${names.length > 0 ? list(names) : t.chooseBoards}`}
            multiple
            value={values.boardIds}
            onChange={(value) => form.set("boardIds", value)}
            choices={boards.map((board) => ({ value: board.id, label: board.name }))}
            className={`flex h-8 w-full items-center gap-2 rounded-md border bg-surface px-2.5 text-left text-sm hover:border-subtle ${form.error("boardIds") ? "border-bad!" : "border-line-strong!"}`}
          >
            <span className={`min-w-0 flex-1 truncate ${names.length > 0 ? "" : "text-subtle"}`}>{names.length > 0 ? list(names) : t.chooseBoards}</span>
            <ChevronsUpDown size={14} aria-hidden className="text-subtle" />
          </Picker>
          {form.error("boardIds") && (
            <p role="alert" className="text-xs text-bad-ink">
              {form.error("boardIds")}
            </p>
          )}
          <p className="text-xs text-subtle">{t.boardsHint}</p>
        </div>
        <Field label={t.default} hint={t.defaultHint} error={form.error("defaultValue")} optional>
          <DefaultInput type={values.fieldType} value={values.defaultValue} onChange={(value) => form.set("defaultValue", value)} />
        </Field>
        <Switch label={t.required} hint={t.requiredHint} checked={values.required} onChange={(on) => form.set("required", on)} />
        {takesPattern(values.fieldType) && (
          <div className="grid gap-4 sm:grid-cols-2">
            <Field label={t.regex} hint={t.regexHint} error={form.error("validationRegex")} optional>
              <Input {...form.text("validationRegex")} placeholder="[A-Z]{3}-\d+" spellCheck={false} className="font-mono text-xs" />
            </Field>
            {values.validationRegex && (
              <Field label={t.regexTry} hint={fits === undefined ? undefined : <span className={fits ? "text-ok-ink" : "text-bad-ink"}>{fits ? t.regexFits : t.regexNot}</span>}>
                <Input value={trial} onChange={(event) => setTrial(event.target.value)} spellCheck={false} className="font-mono text-xs" />
              </Field>
            )}
          </div>
        )}
        <Field label={t.description} error={form.error("description")} optional>
          <TextArea rows={2} {...form.text("description")} />
        </Field>
      </form>
    </Dialog>
  );
}

function wrongDefault(type: TypeWord, text: string): string | undefined {
  try {
    defaultValue(type, text);
    return undefined;
  } catch {
    return t.defaultWrong[type];
  }
}

function DefaultInput({ type, value, onChange }: { type: TypeWord; value: string; onChange: (value: string) => void }) {
  const text = { value, onChange: (event: { target: { value: string } }) => onChange(event.target.value) };
  switch (type) {
    case "boolean":
      return (
        <Select {...text}>
          <option value="">{t.noDefault}</option>
          <option value="true">{t.yes}</option>
          <option value="false">{t.no}</option>
        </Select>
      );
    case "text_long":
      return <TextArea rows={2} {...text} />;
    case "json":
      return <TextArea rows={3} {...text} spellCheck={false} className="font-mono text-xs" />;
    case "integer":
    case "decimal":
      return <Input inputMode={type === "integer" ? "numeric" : "decimal"} {...text} />;
    case "date":
      return <Input type="date" {...text} />;
    case "date_time":
      return <Input type="datetime-local" {...text} />;
    case "url":
      return <Input type="url" {...text} placeholder="https://" />;
    default:
      return <Input {...text} />;
  }
}
