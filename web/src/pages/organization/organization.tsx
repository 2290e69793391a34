import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { useLocation, useParams } from "wouter";
import { useIsAdmin, useOrganization } from "@/lib/me";
import organization from "@/texts/en/organization";
import { texts } from "@/texts/catalogue";
import { Page } from "@/ui/page";
import { Skeleton } from "@/ui/states";
import { Tabs } from "@/ui/tabs";
import { invitesQuery } from "./queries";

const Members = lazy(() => import("./members"));
const WhoMay = lazy(() => import("./who-may"));
const Invites = lazy(() => import("./invites"));
const Keys = lazy(() => import("./keys"));
const Webhooks = lazy(() => import("./webhooks"));
const General = lazy(() => import("./general"));

const t = texts("organization", organization);
type Tab = keyof typeof t.tabs;

/** The organization: its people, keys and webhooks. */
export default function Organization() {
  const { tab: named } = useParams<{ tab?: string }>();
  const admin = useIsAdmin();
  const active = useOrganization();
  const [, go] = useLocation();
  const invites = useQuery({ ...invitesQuery, enabled: admin });
  const offered: Tab[] = admin ? ["members", "access", "invites", "keys", "webhooks", "general"] : ["members", "access", "general"];
  const tab = offered.find((one) => one === named) ?? "members";
  return (
    <Page title={t.organization} lead={active?.name}>
      <Tabs
        label={t.organization}
        value={tab}
        onChange={(next) => go(next === "members" ? "/organization" : `/organization/${next}`)}
        tabs={offered.map((value) => ({ value, label: t.tabs[value], count: value === "invites" ? invites.data?.length : undefined }))}
        className="mb-5"
      >
        <Suspense fallback={<Skeleton lines={5} />}>
          {tab === "members" && <Members />}
          {tab === "access" && <WhoMay />}
          {tab === "invites" && <Invites />}
          {tab === "keys" && <Keys />}
          {tab === "webhooks" && <Webhooks />}
          {tab === "general" && <General />}
        </Suspense>
      </Tabs>
    </Page>
  );
}
