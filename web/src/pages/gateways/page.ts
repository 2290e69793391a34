import { Plus, Router } from "lucide-react";
import { definePage } from "@/lib/page";
import fleet from "@/texts/en/fleet";
import { texts } from "@/texts/catalogue";

const t = texts("fleet", fleet);

export default definePage({
  routes: [
    { path: "/gateways", load: () => import("./gateways") },
    { path: "/gateways/new", load: () => import("./edit") },
    { path: "/gateways/:gatewayId", load: () => import("./gateway") },
    { path: "/gateways/:gatewayId/edit", load: () => import("./edit") },
  ],
  nav: [{ section: "fleet", order: 30, label: () => t.gateways, icon: Router, to: "/gateways", key: "w", admin: true }],
  commands: () => [{ id: "new-gateway", label: t.newGateway, group: t.gateways, icon: Plus, to: "/gateways/new", words: "openclaw connect", admin: true }],
  live: [{ types: ["gateway."], invalidates: [["gateways"]] }],
});
