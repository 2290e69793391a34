import { useQuery } from "@tanstack/react-query";
import { useLocation, useParams } from "wouter";
import { later } from "@/lib/later";
import { useIsAdmin, useOrganization } from "@/lib/me";
import organization from "@/texts/en/organization";
import { texts } from "@/texts/catalogue";
import { Page } from "@/ui/page";
import { Skeleton } from "@/ui/states";
import { Tabs } from "@/ui/tabs";
import { invitesQuery } from "./queries";

const Members = later(() => import("./members"), () => <Skeleton lines={5} />);
const WhoMay = later(() => import("./who-may"), () => <Skeleton lines={5} />);
const Invites = later(() => import("./invites"), () => <Skeleton lines={5} />);
const Keys = later(() => import("./keys"), () => <Skeleton lines={5} />);
const Webhooks = later(() => import("./webhooks"), () => <Skeleton lines={5} />);
const General = later(() => import("./general"), () => <Skeleton lines={5} />);

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
        {tab === "members" && <Members />}
        {tab === "access" && <WhoMay />}
        {tab === "invites" && <Invites />}
        {tab === "keys" && <Keys />}
        {tab === "webhooks" && <Webhooks />}
        {tab === "general" && <General />}
      </Tabs>
    </Page>
  );
}
