import { Plus, Tags, TextCursorInput } from "lucide-react";
import { definePage } from "@/lib/page";
import fleet from "@/texts/en/fleet";
import { texts } from "@/texts/catalogue";

const t = texts("fleet", fleet);

export default definePage({
  routes: [
    { path: "/tags", load: () => import("./tags") },
    { path: "/custom-fields", load: () => import("./fields") },
  ],
  nav: [
    { section: "organization", order: 50, label: () => t.tags, icon: Tags, to: "/tags", key: "t" },
    { section: "organization", order: 51, label: () => t.fields, icon: TextCursorInput, to: "/custom-fields", key: "f" },
  ],
  commands: () => [
    { id: "new-tag", label: t.newTag, group: t.tags, icon: Plus, to: "/tags?new=1", admin: true },
    { id: "new-field", label: t.newField, group: t.fields, icon: Plus, to: "/custom-fields?new=1", admin: true },
  ],
  live: [
    { types: ["tag."], invalidates: [["tags"]] },
    { types: ["custom_field."], invalidates: [["custom-fields"]] },
  ],
});
