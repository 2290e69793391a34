import { useQueryClient } from "@tanstack/react-query";
import { SkillService } from "@/gen/missioncontrol/agent/v1/skills_pb";
import { api } from "@/lib/api";
import { useForm } from "@/lib/form";
import skills from "@/texts/en/skills";
import { texts } from "@/texts/catalogue";
import { Dialog, DialogActions } from "@/ui/dialog";
import { Field, FormFailure, Input, TextArea } from "@/ui/field";
import { toast } from "@/ui/toast";

const t = texts("skills", skills);

/** Adds a skill by its address. */
export function SkillForm({ onClose }: { onClose: () => void }) {
  const queries = useQueryClient();
  const form = useForm({
    initial: { sourceUrl: "", name: "", description: "" },
    check: (values) => ({ sourceUrl: values.sourceUrl.trim() ? undefined : t.addressMissing }),
    send: async (values) => {
      const saved = await api(SkillService).createMarketplaceSkill({ sourceUrl: values.sourceUrl.trim(), name: values.name.trim() || undefined, description: values.description.trim() || undefined });
      void queries.invalidateQueries({ queryKey: ["skills"] });
      toast({ tone: "ok", title: t.added(saved.name) });
      onClose();
    },
  });
  return (
    <Dialog open onClose={onClose} title={t.addSkill} footer={<DialogActions onCancel={onClose} submit={t.addSkill} busy={form.busy} form="skill-form" />}>
      <form id="skill-form" onSubmit={form.submit} className="space-y-4" noValidate>
        <FormFailure>{form.failure}</FormFailure>
        <Field label={t.address} hint={t.skillAddressHint} error={form.error("sourceUrl")} required>
          <Input autoFocus type="url" {...form.text("sourceUrl")} placeholder="https://" className="font-mono text-xs" />
        </Field>
        <Field label={t.name} hint={t.nameHint} error={form.error("name")} optional>
          <Input {...form.text("name")} />
        </Field>
        <Field label={t.description} error={form.error("description")} optional>
          <TextArea {...form.text("description")} />
        </Field>
      </form>
    </Dialog>
  );
}
