import { ShieldCheck } from "lucide-react";
import { definePage } from "@/lib/page";
import { approvalsWaiting } from "@/lib/waiting";
import places from "@/texts/en/places";
import { texts } from "@/texts/catalogue";

const t = texts("places", places);

export default definePage({
  routes: [{ path: "/approvals", load: () => import("./approvals") }],
  nav: [{ section: "work", order: 12, label: () => t.approvals, icon: ShieldCheck, to: "/approvals", key: "p", badge: approvalsWaiting }],
  live: [{ types: ["approval."], invalidates: [["approvals"]] }],
});
