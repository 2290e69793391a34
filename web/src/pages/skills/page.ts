import { Blocks, Package, Plus } from "lucide-react";
import { definePage } from "@/lib/page";
import fleet from "@/texts/en/fleet";
import { texts } from "@/texts/catalogue";

const t = texts("fleet", fleet);

export default definePage({
  routes: [
    { path: "/skills", load: () => import("./marketplace") },
    { path: "/skill-packs", load: () => import("./packs") },
  ],
  nav: [
    { section: "fleet", order: 40, label: () => t.skills, icon: Blocks, to: "/skills", key: "s", admin: true },
    { section: "fleet", order: 41, label: () => t.packs, icon: Package, to: "/skill-packs", admin: true },
  ],
  commands: () => [
    { id: "new-pack", label: t.newPack, group: t.skills, icon: Plus, to: "/skill-packs?new=1", admin: true },
    { id: "new-skill", label: t.newSkill, group: t.skills, icon: Plus, to: "/skills?new=1", admin: true },
  ],
  live: [
    { types: ["skill."], invalidates: [["skills"]] },
    { types: ["skill_pack."], invalidates: [["skill-packs"], ["skills"]] },
  ],
});
