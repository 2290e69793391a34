import { Building2, KeyRound, Mail, ShieldQuestion, UserPlus, UserRound, Webhook } from "lucide-react";
import { definePage } from "@/lib/page";
import { soon } from "@/lib/soon";
import places from "@/texts/en/places";
import { texts } from "@/texts/catalogue";

const t = texts("places", places);

export default definePage({
  routes: [
    { path: "/organization", load: () => import("./organization") },
    { path: "/organization/webhooks/:webhookId", load: () => import("./webhook") },
    { path: "/organization/:tab", load: () => import("./organization") },
    { path: "/invite", load: () => import("./join") },
    { path: "/settings", load: () => import("./settings") },
  ],
  nav: [{ section: "organization", order: 80, label: () => t.organization, icon: Building2, to: "/organization", key: "m" }],
  commands: () => [
    { id: "settings", label: t.settings, group: t.organization, icon: UserRound, to: "/settings" },
    { id: "access", label: t.access, group: t.organization, icon: ShieldQuestion, words: t.accessWords, to: "/organization/access" },
    { id: "invite", label: t.invite, group: t.organization, icon: UserPlus, to: "/organization/invites?new=1", admin: true },
    { id: "invites", label: t.invites, group: t.organization, icon: Mail, to: "/organization/invites", admin: true },
    { id: "keys", label: t.keys, group: t.organization, icon: KeyRound, to: "/organization/keys", admin: true },
    { id: "webhooks", label: t.webhooks, group: t.organization, icon: Webhook, to: "/organization/webhooks", admin: true },
  ],
  live: [
    { types: ["member."], invalidates: [["members"], ["access"]] },
    { types: ["invite."], invalidates: [["invites"], ["members"]] },
    { types: ["api_key."], invalidates: [["keys"]] },
    { types: ["webhook."], invalidates: [["webhooks"]] },
    // Every event may be on its way to an endpoint.
    { types: ["*"], apply: soon(["deliveries"]) },
  ],
});
