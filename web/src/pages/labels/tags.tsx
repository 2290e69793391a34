import { useQuery, useQueryClient } from "@tanstack/react-query";
import { MoreHorizontal, Pencil, Plus, Search, Tags as TagsIcon, Trash2 } from "lucide-react";
import { useState } from "react";
import { type Tag, TagService } from "@/gen/missioncontrol/board/v1/board_pb";
import { api } from "@/lib/api";
import { useForm } from "@/lib/form";
import { useHotkeys } from "@/lib/hotkeys";
import { useIsAdmin } from "@/lib/me";
import { useSearchState } from "@/lib/search";
import labels from "@/texts/en/labels";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Button } from "@/ui/button";
import { confirm } from "@/ui/confirm";
import { cx } from "@/ui/cx";
import { Dialog, DialogActions } from "@/ui/dialog";
import { Field, FormFailure, Input, TextArea } from "@/ui/field";
import { Menu } from "@/ui/menu";
import { Card, Page, Table } from "@/ui/page";
import { Notice, QueryView } from "@/ui/states";
import { Time } from "@/ui/time";
import { toast, toastError } from "@/ui/toast";
import { tagsQuery } from "./queries";

const t = texts("labels", labels);
const words = texts("ui", ui);

/** Colours that are offered. */
const COLORS = ["dc2626", "ea580c", "d97706", "65a30d", "16a34a", "0d9488", "0284c7", "2563eb", "7c3aed", "db2777", "64748b"];

/** All tags. */
export default function Tags() {
  const list = useQuery(tagsQuery);
  const admin = useIsAdmin();
  const [params, change] = useSearchState();
  const [editing, setEditing] = useState<Tag>();
  const query = params.get("q") ?? "";
  useHotkeys(admin ? [{ keys: "c", label: t.newTag, group: t.tags, run: () => change({ new: "1" }) }] : []);
  const add = admin && (
    <Button variant="primary" icon={Plus} onClick={() => change({ new: "1" })}>
      {t.newTag}
    </Button>
  );
  return (
    <Page
      title={t.tags}
      actions={
        list.data?.length !== 0 && (
          <>
            <Filter value={query} onChange={(q) => change({ q })} />
            {add}
          </>
        )
      }
    >
      <Card flush>
        <QueryView
          query={list}
          isEmpty={(all) => all.length === 0}
          empty={
            <Notice icon={TagsIcon} title={t.tagsEmptyTitle} action={add}>
              {t.tagsEmptyBody}
            </Notice>
          }
        >
          {(all) => <Rows tags={all} query={query} onEdit={setEditing} />}
        </QueryView>
      </Card>
      {params.get("new") !== null && admin && <TagForm onClose={() => change({ new: null })} />}
      {editing && <TagForm tag={editing} onClose={() => setEditing(undefined)} />}
    </Page>
  );
}

/** A field that narrows a list. */
export function Filter({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  return (
    <div className="relative">
      <Search size={14} aria-hidden className="pointer-events-none absolute top-2.25 left-2.5 text-subtle" />
      <Input type="search" aria-label={t.filter} placeholder={t.filter} value={value} onChange={(event) => onChange(event.target.value)} className="w-44 pl-8" />
    </div>
  );
}

function Rows({ tags, query, onEdit }: { tags: readonly Tag[]; query: string; onEdit: (tag: Tag) => void }) {
  const queries = useQueryClient();
  const admin = useIsAdmin();
  const shown = tags.filter((tag) => `${tag.name} ${tag.slug} ${tag.description ?? ""}`.toLowerCase().includes(query.trim().toLowerCase()));
  if (shown.length === 0) return <Notice title={t.noneTitle}>{t.noneBody}</Notice>;
  return (
    <Table label={t.tags} head={[t.name, t.description, t.used, t.updated, ...(admin ? [""] : [])]} narrow={[2, 4]}>
      {shown.map((tag) => (
        <tr key={tag.id}>
          <td className="whitespace-nowrap">
            <span className="flex items-center gap-2.5">
              <span aria-hidden className="size-3 shrink-0 rounded-full" style={{ background: `#${tag.color}` }} />
              <span className="font-medium">{tag.name}</span>
              {tag.slug !== tag.name && <span className="font-mono text-xs text-subtle">{tag.slug}</span>}
            </span>
          </td>
          <td className="max-w-96 truncate text-muted">{tag.description || <span className="text-subtle">–</span>}</td>
          <td className="whitespace-nowrap text-muted tabular">{t.tasks(tag.taskCount)}</td>
          <td className="whitespace-nowrap text-muted">
            <Time at={tag.updatedAt} />
          </td>
          {admin && (
            <td className="w-10 text-right">
              <Menu
                label={t.actions(tag.name)}
                align="end"
                className="inline-flex size-7 items-center justify-center rounded-md text-muted hover:bg-hover hover:text-ink"
                items={[
                  { label: t.editTag, icon: Pencil, run: () => onEdit(tag) },
                  {
                    label: t.deleteTag,
                    icon: Trash2,
                    danger: true,
                    separated: true,
                    run: () =>
                      void (async () => {
                        if (!(await confirm({ title: t.deleteTitle(tag.name), destroys: [tag.taskCount > 0 ? t.deleteTagFrom(tag.taskCount) : t.deleteTagOnly], action: t.deleteTag }))) return;
                        try {
                          await api(TagService).deleteTag({ tagId: tag.id });
                          void queries.invalidateQueries({ queryKey: ["tags"] });
                          toast({ tone: "ok", title: t.deleted(tag.name) });
                        } catch (error) {
                          toastError(error, t.deleteFailed);
                        }
                      })(),
                  },
                ]}
              >
                <MoreHorizontal size={16} aria-hidden />
              </Menu>
            </td>
          )}
        </tr>
      ))}
    </Table>
  );
}

function TagForm({ tag, onClose }: { tag?: Tag; onClose: () => void }) {
  const queries = useQueryClient();
  const form = useForm({
    initial: { name: tag?.name ?? "", color: tag?.color ?? COLORS[7] ?? "", description: tag?.description ?? "", slug: tag?.slug ?? "" },
    check: (values) => ({ name: values.name.trim() ? undefined : t.nameMissing }),
    send: async (values) => {
      const body = { name: values.name.trim(), color: values.color, description: values.description.trim() || undefined, slug: values.slug.trim() || undefined };
      const saved = tag
        ? await api(TagService).updateTag({ tagId: tag.id, updateMask: { paths: ["name", "slug", "color", "description"] }, ...body })
        : await api(TagService).createTag(body);
      void queries.invalidateQueries({ queryKey: ["tags"] });
      toast({ tone: "ok", title: tag ? t.saved : t.created(saved.name) });
      onClose();
    },
  });
  return (
    <Dialog open onClose={onClose} title={tag ? t.editTag : t.newTag} size="sm" footer={<DialogActions onCancel={onClose} submit={tag ? words.save : words.create} busy={form.busy} form="tag-form" />}>
      <form id="tag-form" onSubmit={form.submit} className="space-y-4" noValidate>
        <FormFailure>{form.failure}</FormFailure>
        <Field label={t.name} error={form.error("name")} required>
          <Input autoFocus {...form.text("name")} />
        </Field>
        <fieldset>
          <legend className="mb-1.5 text-xs font-medium">{t.color}</legend>
          <div className="flex flex-wrap gap-1.5">
            {COLORS.map((color) => (
              <label key={color} className="relative cursor-pointer">
                <input type="radio" name="color" value={color} checked={form.values.color === color} onChange={() => form.set("color", color)} className="peer sr-only" aria-label={`#${color}`} />
                <span
                  className={cx("block size-5.5 rounded-full border-2 border-raised! ring-offset-0 peer-focus-visible:outline-2 peer-focus-visible:outline-focus", form.values.color === color && "ring-2 ring-ink")}
                  style={{ background: `#${color}` }}
                />
              </label>
            ))}
            <input
              type="color"
              aria-label={t.ownColor}
              title={t.ownColor}
              value={`#${form.values.color}`}
              onChange={(event) => form.set("color", event.target.value.replace("#", ""))}
              className="size-6 cursor-pointer rounded-full border-0 bg-transparent p-0"
            />
          </div>
          {form.error("color") && (
            <p role="alert" className="mt-1 text-xs text-bad-ink">
              {form.error("color")}
            </p>
          )}
        </fieldset>
        <Field label={t.description} error={form.error("description")} optional>
          <TextArea rows={2} {...form.text("description")} />
        </Field>
        <Field label={t.slug} hint={t.slugHint} error={form.error("slug")} optional>
          <Input {...form.text("slug")} className="font-mono text-xs" />
        </Field>
      </form>
    </Dialog>
  );
}
