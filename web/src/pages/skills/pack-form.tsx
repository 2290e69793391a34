import { useQueryClient } from "@tanstack/react-query";
import { type SkillPack, SkillPackService } from "@/gen/missioncontrol/agent/v1/skills_pb";
import { api } from "@/lib/api";
import { useForm } from "@/lib/form";
import skills from "@/texts/en/skills";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Dialog, DialogActions } from "@/ui/dialog";
import { Field, FormFailure, Input, TextArea } from "@/ui/field";
import { toast } from "@/ui/toast";

const t = texts("skills", skills);
const words = texts("ui", ui);

/** Adds a pack, or changes one. */
export function PackForm({ pack, onClose, onAdded }: { pack?: SkillPack; onClose: () => void; onAdded?: (pack: SkillPack) => void }) {
  const queries = useQueryClient();
  const form = useForm({
    initial: { sourceUrl: pack?.sourceUrl ?? "", name: pack?.name ?? "", description: pack?.description ?? "", branch: pack?.branch ?? "main" },
    check: (values) => ({ sourceUrl: values.sourceUrl.trim() ? undefined : t.addressMissing }),
    send: async (values) => {
      const body = { sourceUrl: values.sourceUrl.trim(), name: values.name.trim() || undefined, description: values.description.trim() || undefined, branch: values.branch.trim() || undefined };
      const saved = pack ? await api(SkillPackService).updateSkillPack({ packId: pack.id, ...body, metadata: pack.metadata }) : await api(SkillPackService).createSkillPack(body);
      void queries.invalidateQueries({ queryKey: ["skill-packs"] });
      toast({ tone: "ok", title: pack ? t.saved : t.added(saved.name) });
      onClose();
      onAdded?.(saved);
    },
  });
  return (
    <Dialog open onClose={onClose} title={pack ? t.editPack : t.addPack} description={pack ? undefined : t.packsEmptyBody} footer={<DialogActions onCancel={onClose} submit={pack ? words.save : t.addAndRead} busy={form.busy} form="pack-form" />}>
      <form id="pack-form" onSubmit={form.submit} className="space-y-4" noValidate>
        <FormFailure>{form.failure}</FormFailure>
        <Field label={t.address} hint={t.packAddressHint} error={form.error("sourceUrl")} required>
          <Input autoFocus type="url" {...form.text("sourceUrl")} placeholder="https://github.com/owner/repo" className="font-mono text-xs" />
        </Field>
        <div className="grid gap-4 sm:grid-cols-2">
          <Field label={t.name} hint={t.nameHint} error={form.error("name")} optional>
            <Input {...form.text("name")} />
          </Field>
          <Field label={t.branch} hint={t.branchHint} error={form.error("branch")} optional>
            <Input {...form.text("branch")} className="font-mono text-xs" />
          </Field>
        </div>
        <Field label={t.description} error={form.error("description")} optional>
          <TextArea rows={2} {...form.text("description")} />
        </Field>
      </form>
    </Dialog>
  );
}
