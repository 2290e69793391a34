import { Building2, Check, ChevronsUpDown, CircleHelp, Laptop, LogOut, Menu as MenuIcon, Moon, PanelLeft, Plus, Search, Sun, UserRound } from "lucide-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { OrganizationService } from "@/gen/missioncontrol/org/v1/org_pb";
import { api } from "@/lib/api";
import { useForm } from "@/lib/form";
import { isMac } from "@/lib/hotkeys";
import { meQuery, organizationsQuery, personName, useIsAdmin, useOrganization } from "@/lib/me";
import type { Section } from "@/lib/page";
import { signOut } from "@/lib/session";
import { Store, useStore } from "@/lib/store";
import { setTheme, sidebarClosed, theme, toggleSidebar } from "@/lib/theme";
import shell from "@/texts/en/shell";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Avatar, Count, Key } from "@/ui/badge";
import { IconButton } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Dialog, DialogActions, Modal } from "@/ui/dialog";
import { Field, FormFailure, Input } from "@/ui/field";
import { Menu } from "@/ui/menu";
import { overlay } from "./app";
import { Link as LinkIndicator } from "./link";
import { useOrganizationSwitch } from "./organizations";
import { navigation, preload } from "./pages";

const t = texts("shell", shell);
const words = texts("ui", ui);
const SECTIONS: readonly Section[] = ["work", "fleet", "organization"];
const nothing = new Store(0);

/** The navigation at the left of wide screens. */
export function Sidebar() {
  const closed = useStore(sidebarClosed);
  return (
    <aside className="hidden w-(--sidebar) shrink-0 flex-col border-r bg-sunken transition-[width] duration-150 md:flex">
      <Navigation closed={closed} />
    </aside>
  );
}

/** The navigation of narrow screens. */
export function Drawer({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Modal open={open} onClose={onClose} label={t.navigation} className="fixed inset-y-0 left-0 m-0 h-full w-[272px] border-r bg-sunken p-0 shadow-pop animate-[fade_120ms_ease-out]">
      <div className="flex h-full flex-col">
        <Navigation closed={false} onGo={onClose} />
      </div>
    </Modal>
  );
}

function Navigation({ closed, onGo }: { closed: boolean; onGo?: () => void }) {
  const admin = useIsAdmin();
  return (
    <>
      <div className="flex h-(--topbar) shrink-0 items-center px-2">
        <OrganizationSwitcher closed={closed} />
      </div>
      {!closed && (
        <div className="px-2 pb-2">
          <button
            type="button"
            onClick={() => overlay.set("palette")}
            className="flex h-8 w-full items-center gap-2 rounded-md border bg-surface px-2 text-left text-subtle shadow-card hover:text-ink"
          >
            <Search size={14} aria-hidden />
            <span className="flex-1 truncate">{t.search}</span>
            <Key>{isMac ? "⌘K" : "Ctrl K"}</Key>
          </button>
        </div>
      )}
      <nav aria-label={t.navigation} className="min-h-0 flex-1 overflow-y-auto px-2 pb-2">
        {SECTIONS.map((section) => {
          const entries = navigation.filter((entry) => entry.section === section && (!entry.admin || admin));
          if (entries.length === 0) return null;
          return (
            <div key={section} className="mb-3">
              {closed ? (
                <div className="mx-2 mb-1.5 h-px bg-line first:hidden" />
              ) : (
                <h2 className="px-2 pt-1 pb-1 text-2xs font-medium tracking-wide text-subtle">{t.sections[section]}</h2>
              )}
              <ul className="space-y-px">
                {entries.map((entry) => (
                  <Entry key={entry.to} entry={entry} closed={closed} onGo={onGo} />
                ))}
              </ul>
            </div>
          );
        })}
      </nav>
      <div className="flex shrink-0 items-center gap-1 border-t p-2">
        <UserMenu closed={closed} />
        {!closed && <IconButton icon={CircleHelp} label={t.help} hint="?" onClick={() => overlay.set("shortcuts")} />}
      </div>
    </>
  );
}

function Entry({ entry, closed, onGo }: { entry: (typeof navigation)[number]; closed: boolean; onGo?: () => void }) {
  const [path] = useLocation();
  const waiting = useStore(entry.badge ?? nothing);
  const here = entry.to === "/" ? path === "/" : path === entry.to || path.startsWith(`${entry.to}/`);
  const Icon = entry.icon;
  if (entry.whileWaiting && waiting === 0 && !here) return null;
  return (
    <li>
      <Link
        to={entry.to}
        aria-current={here ? "page" : undefined}
        aria-label={closed ? entry.label() : undefined}
        title={closed ? entry.label() : undefined}
        onClick={onGo}
        onPointerEnter={() => void preload(entry.to)}
        className={cx(
          "relative flex h-8 items-center gap-2.5 rounded-md text-sm font-medium",
          closed ? "justify-center" : "px-2",
          here ? "bg-pressed text-ink" : "text-muted hover:bg-hover hover:text-ink",
        )}
      >
        <Icon size={16} strokeWidth={1.85} aria-hidden className={here ? "" : "text-subtle"} />
        {!closed && <span className="flex-1 truncate">{entry.label()}</span>}
        {closed ? waiting > 0 && <span className="absolute top-1 right-1.5 size-1.5 rounded-full bg-signal" /> : <Count value={waiting} tone="signal" label={t.waiting(waiting)} />}
      </Link>
    </li>
  );
}

/** The strip above the page: navigation on small screens, search, the state of the link. */
export function Topbar() {
  const closed = useStore(sidebarClosed);
  return (
    <div className="flex h-10 shrink-0 items-center gap-1 border-b bg-canvas px-2 sm:px-3">
      <IconButton icon={MenuIcon} label={t.openMenu} onClick={() => overlay.set("drawer")} className="md:hidden" />
      <IconButton icon={PanelLeft} label={closed ? t.expand : t.collapse} hint="[" onClick={toggleSidebar} className="max-md:hidden" />
      {closed && <IconButton icon={Search} label={t.search} hint={isMac ? "⌘K" : "Ctrl K"} onClick={() => overlay.set("palette")} className="max-md:hidden" />}
      <IconButton icon={Search} label={t.search} onClick={() => overlay.set("palette")} className="md:hidden" />
      <div className="flex-1" />
      <LinkIndicator />
    </div>
  );
}

function OrganizationSwitcher({ closed }: { closed: boolean }) {
  const { data: organizations = [] } = useQuery(organizationsQuery);
  const active = useOrganization();
  const [creating, setCreating] = useState(false);
  const { enter, change } = useOrganizationSwitch();
  return (
    <>
      <Menu
        label={t.organization}
        className={cx("flex h-9 min-w-0 items-center gap-2 rounded-md text-left hover:bg-hover", closed ? "w-full justify-center" : "flex-1 px-1.5")}
        header={<p className="px-2 py-1.5 text-2xs font-medium text-subtle">{t.organizations}</p>}
        items={[
          ...organizations.map((organization) => ({
            label: organization.name,
            icon: organization.isActive ? Check : Building2,
            checked: organization.isActive,
            run: () => {
              if (!organization.isActive) void change(organization.id, organization.name);
            },
          })),
          { label: t.newOrganization, icon: Plus, separated: true, run: () => setCreating(true) },
        ]}
      >
        <img src="/icon.svg" alt="" width={24} height={24} className="shrink-0" />
        {!closed && (
          <>
            <span className="min-w-0 flex-1 truncate text-sm font-semibold">{active?.name ?? t.product}</span>
            <ChevronsUpDown size={14} aria-hidden className="shrink-0 text-subtle" />
          </>
        )}
      </Menu>
      {creating && <NewOrganization onClose={() => setCreating(false)} onCreated={enter} />}
    </>
  );
}

function NewOrganization({ onClose, onCreated }: { onClose: () => void; onCreated: (name: string) => void }) {
  const form = useForm({
    initial: { name: "" },
    send: async ({ name }) => {
      const made = await api(OrganizationService).createOrganization({ name });
      onClose();
      onCreated(made.name);
    },
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title={t.newOrganization}
      description={t.organizationHint}
      size="sm"
      footer={<DialogActions onCancel={onClose} submit={words.create} busy={form.busy} form="new-organization" />}
    >
      <form id="new-organization" onSubmit={form.submit} className="space-y-3" noValidate>
        <FormFailure>{form.failure}</FormFailure>
        <Field label={t.organizationName} error={form.error("name")} required>
          <Input autoFocus {...form.text("name")} />
        </Field>
      </form>
    </Dialog>
  );
}

function UserMenu({ closed }: { closed: boolean }) {
  const { data: me } = useQuery(meQuery);
  const chosen = useStore(theme);
  const name = personName(me);
  return (
    <Menu
      label={t.account}
      className={cx("flex h-9 min-w-0 items-center gap-2 rounded-md text-left hover:bg-hover", closed ? "w-full justify-center" : "flex-1 px-1.5")}
      header={me?.email ? <p className="truncate px-2 py-1.5 text-xs text-subtle">{me.email}</p> : undefined}
      items={[
        { label: t.settings, icon: UserRound, to: "/settings" },
        { label: t.theme.system, icon: Laptop, checked: chosen === "system", separated: true, run: () => setTheme("system") },
        { label: t.theme.light, icon: Sun, checked: chosen === "light", run: () => setTheme("light") },
        { label: t.theme.dark, icon: Moon, checked: chosen === "dark", run: () => setTheme("dark") },
        { label: t.signOut, icon: LogOut, separated: true, run: signOut },
      ]}
    >
      <Avatar name={name || "?"} size={24} />
      {!closed && <span className="min-w-0 flex-1 truncate text-sm font-medium">{name}</span>}
    </Menu>
  );
}
