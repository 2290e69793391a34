import { useQuery, useQueryClient } from "@tanstack/react-query";
import { MoreHorizontal, Pencil, Plus, TextCursorInput, Trash2 } from "lucide-react";
import { useState } from "react";
import { type CustomField, CustomFieldService } from "@/gen/missioncontrol/board/v1/fields_pb";
import { api } from "@/lib/api";
import { dateTime, list } from "@/lib/format";
import { useHotkeys } from "@/lib/hotkeys";
import { useIsAdmin } from "@/lib/me";
import { json } from "@/lib/rest";
import { useSearchState } from "@/lib/search";
import { boardsQuery } from "@/pages/boards/queries";
import labels from "@/texts/en/labels";
import { texts } from "@/texts/catalogue";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { confirm } from "@/ui/confirm";
import { Menu } from "@/ui/menu";
import { Card, Page, Table } from "@/ui/page";
import { Notice, QueryView } from "@/ui/states";
import { toast, toastError } from "@/ui/toast";
import { FieldForm } from "./field-form";
import { fieldsQuery } from "./queries";
import { Filter } from "./tags";
import { defaultText, typeWord, visibilityWord } from "./values";

const t = texts("labels", labels);

/** All custom fields. */
export default function Fields() {
  const fields = useQuery(fieldsQuery);
  const admin = useIsAdmin();
  const [params, change] = useSearchState();
  const [editing, setEditing] = useState<CustomField>();
  const query = params.get("q") ?? "";
  useHotkeys(admin ? [{ keys: "c", label: t.newField, group: t.fields, run: () => change({ new: "1" }) }] : []);
  const add = admin && (
    <Button variant="primary" icon={Plus} onClick={() => change({ new: "1" })}>
      {t.newField}
    </Button>
  );
  return (
    <Page
      title={t.fields}
      actions={
        fields.data?.length !== 0 && (
          <>
            <Filter value={query} onChange={(q) => change({ q })} />
            {add}
          </>
        )
      }
    >
      <Card flush>
        <QueryView
          query={fields}
          isEmpty={(all) => all.length === 0}
          empty={
            <Notice icon={TextCursorInput} title={t.fieldsEmptyTitle} action={add}>
              {t.fieldsEmptyBody}
            </Notice>
          }
        >
          {(all) => <Rows fields={all} query={query} onEdit={setEditing} />}
        </QueryView>
      </Card>
      {params.get("new") !== null && admin && <FieldForm onClose={() => change({ new: null })} />}
      {editing && <FieldForm field={editing} onClose={() => setEditing(undefined)} />}
    </Page>
  );
}

function Rows({ fields, query, onEdit }: { fields: readonly CustomField[]; query: string; onEdit: (field: CustomField) => void }) {
  const queries = useQueryClient();
  const admin = useIsAdmin();
  const boards = useQuery(boardsQuery).data;
  const names = new Map(boards?.map((board) => [board.id, board.name]));
  const shown = fields.filter((field) => `${field.label} ${field.fieldKey} ${field.description ?? ""}`.toLowerCase().includes(query.trim().toLowerCase()));
  if (shown.length === 0) return <Notice title={t.noneTitle}>{t.noneBody}</Notice>;
  const remove = async (field: CustomField) => {
    if (!(await confirm({ title: t.deleteTitle(field.label), body: t.deleteFieldBody, destroys: [t.deleteFieldOnly], action: t.deleteField }))) return;
    try {
      await api(CustomFieldService).deleteCustomField({ taskCustomFieldDefinitionId: field.id });
      void queries.invalidateQueries({ queryKey: ["custom-fields"] });
      toast({ tone: "ok", title: t.deleted(field.label) });
    } catch (error) {
      toastError(error, t.deleteFailed);
    }
  };
  return (
    <Table label={t.fields} head={[t.label, t.type, t.boards, t.default, t.visibility, ...(admin ? [""] : [])]} narrow={[3, 4, 5]}>
      {shown.map((field) => {
        const type = typeWord(field.fieldType);
        const preset = json(field.defaultValue);
        const value = type === "date_time" && preset ? dateTime(String(preset)) : defaultText(type, preset);
        const own = field.boardIds.flatMap((id) => names.get(id) ?? []);
        return (
          <tr key={field.id}>
            <td className="max-w-80 max-sm:max-w-44">
              <span className="flex items-center gap-2">
                <span className="truncate font-medium">{field.label}</span>
                {field.required && <Badge tone="signal">{t.requiredShort}</Badge>}
              </span>
              <span className="block truncate font-mono text-2xs text-subtle">{field.fieldKey}</span>
            </td>
            <td className="whitespace-nowrap text-muted">
              {t.types[type]}
              {field.validationRegex && <code className="block max-w-44 truncate font-mono text-2xs text-subtle">{field.validationRegex}</code>}
            </td>
            <td className="max-w-64 text-muted" title={list(own)}>
              <span className="line-clamp-2">{boards && field.boardIds.length === boards.length && boards.length > 1 ? t.allBoards : own.length > 2 ? t.boardCount(field.boardIds.length) : list(own)}</span>
            </td>
            <td className="max-w-44 truncate text-muted">{value ? type === "boolean" ? value === "true" ? t.yes : t.no : value : <span className="text-subtle">–</span>}</td>
            <td className="whitespace-nowrap text-muted">{t.visibilities[visibilityWord(field.uiVisibility)]}</td>
            {admin && (
              <td className="w-10 text-right">
                <Menu
                  label={t.actions(field.label)}
                  align="end"
                  className="inline-flex size-7 items-center justify-center rounded-md text-muted hover:bg-hover hover:text-ink"
                  items={[
                    { label: t.editField, icon: Pencil, run: () => onEdit(field) },
                    { label: t.deleteField, icon: Trash2, danger: true, separated: true, run: () => void remove(field) },
                  ]}
                >
                  <MoreHorizontal size={16} aria-hidden />
                </Menu>
              </td>
            )}
          </tr>
        );
      })}
    </Table>
  );
}
