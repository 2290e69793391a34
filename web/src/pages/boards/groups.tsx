import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Layers, MoreHorizontal, Pencil, Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { type BoardGroup, BoardGroupService } from "@/gen/missioncontrol/board/v1/groups_pb";
import { api } from "@/lib/api";
import { useForm } from "@/lib/form";
import { useIsAdmin } from "@/lib/me";
import { useSearchState } from "@/lib/search";
import boards from "@/texts/en/boards";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Button } from "@/ui/button";
import { Dialog, DialogActions } from "@/ui/dialog";
import { Field, FormFailure, Input, TextArea } from "@/ui/field";
import { Menu } from "@/ui/menu";
import { Card, Page, Table } from "@/ui/page";
import { Notice, QueryView } from "@/ui/states";
import { Time } from "@/ui/time";
import { toast } from "@/ui/toast";
import { slugOf } from "./board-form";
import { deleteGroup } from "./delete";
import { boardsQuery, groupsQuery } from "./queries";

const t = texts("boards", boards);
const words = texts("ui", ui);

/** All groups of boards. */
export default function Groups() {
  const groups = useQuery(groupsQuery);
  const all = useQuery(boardsQuery);
  const queries = useQueryClient();
  const admin = useIsAdmin();
  const [params, change] = useSearchState();
  const [editing, setEditing] = useState<BoardGroup>();
  const [, go] = useLocation();
  const count = (id: string) => all.data?.filter((board) => board.boardGroupId === id).length ?? 0;
  const add = admin && (
    <Button variant="primary" icon={Plus} onClick={() => change({ new: "1" })}>
      {t.newGroup}
    </Button>
  );
  return (
    <Page title={t.groups} actions={add}>
      <Card flush>
        <QueryView
          query={groups}
          isEmpty={(list) => list.length === 0}
          empty={
            <Notice icon={Layers} title={t.groupsEmptyTitle} action={add}>
              {t.groupsEmptyBody}
            </Notice>
          }
        >
          {(list) => (
            <Table label={t.groups} head={[t.name, t.boards, t.updated, ""]}>
              {list.map((group) => (
                <tr key={group.id}>
                  <td className="max-w-[440px]">
                    <Link to={`/groups/${group.id}`} className="block rounded-sm font-medium hover:underline">
                      {group.name}
                    </Link>
                    {group.description && <span className="block truncate text-xs text-muted">{group.description}</span>}
                  </td>
                  <td className="tabular text-muted">{t.boardCount(count(group.id))}</td>
                  <td className="whitespace-nowrap text-muted">
                    <Time at={group.updatedAt} />
                  </td>
                  <td className="w-10 text-right">
                    {admin && (
                      <Menu
                        label={t.actions(group.name)}
                        align="end"
                        className="inline-flex size-7 items-center justify-center rounded-md text-muted hover:bg-hover hover:text-ink"
                        items={[
                          { label: t.editGroup, icon: Pencil, run: () => setEditing(group) },
                          { label: t.deleteGroup, icon: Trash2, danger: true, separated: true, run: () => void deleteGroup(group, count(group.id), queries) },
                        ]}
                      >
                        <MoreHorizontal size={16} aria-hidden />
                      </Menu>
                    )}
                  </td>
                </tr>
              ))}
            </Table>
          )}
        </QueryView>
      </Card>
      {params.get("new") !== null && admin && <GroupForm onClose={() => change({ new: null })} onDone={(group) => go(`/groups/${group.id}`)} />}
      {editing && <GroupForm group={editing} onClose={() => setEditing(undefined)} />}
    </Page>
  );
}

/** Creates a group, or changes one. */
export function GroupForm({ group, onClose, onDone }: { group?: BoardGroup; onClose: () => void; onDone?: (group: BoardGroup) => void }) {
  const queries = useQueryClient();
  const form = useForm({
    initial: { name: group?.name ?? "", slug: group?.slug ?? "", description: group?.description ?? "" },
    send: async (values) => {
      const body = { name: values.name.trim(), slug: values.slug.trim() || slugOf(values.name), description: values.description.trim() || undefined };
      const saved = group
        ? await api(BoardGroupService).updateBoardGroup({ groupId: group.id, updateMask: { paths: ["name", "slug", "description"] }, ...body })
        : await api(BoardGroupService).createBoardGroup(body);
      void queries.invalidateQueries({ queryKey: ["groups"] });
      toast({ tone: "ok", title: group ? t.saved : t.created(saved.name) });
      onClose();
      onDone?.(saved);
    },
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title={group ? t.editGroup : t.newGroup}
      size="sm"
      footer={<DialogActions onCancel={onClose} submit={group ? words.save : words.create} busy={form.busy} form="group-form" />}
    >
      <form id="group-form" onSubmit={form.submit} className="space-y-4" noValidate>
        <FormFailure>{form.failure}</FormFailure>
        <Field label={t.name} error={form.error("name")} required>
          <Input autoFocus {...form.text("name")} />
        </Field>
        <Field label={t.description} error={form.error("description")} optional>
          <TextArea {...form.text("description")} />
        </Field>
        <Field label={t.slug} hint={t.slugHint} error={form.error("slug")} optional>
          <Input {...form.text("slug")} placeholder={slugOf(form.values.name)} />
        </Field>
      </form>
    </Dialog>
  );
}
