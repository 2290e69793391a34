import { useQuery } from "@tanstack/react-query";
import { Bot, Building2, ChevronRight, Keyboard, Layers, LogOut, Moon, PanelLeft, Router, Search, SquareKanban, Sun } from "lucide-react";
import { type KeyboardEvent, useId, useMemo, useState } from "react";
import { useLocation } from "wouter";
import { type Command, commands } from "@/lib/commands";
import { shown } from "@/lib/hotkeys";
import { organizationsQuery, useIsAdmin } from "@/lib/me";
import { signOut } from "@/lib/session";
import { useStore } from "@/lib/store";
import { agentsQuery } from "@/pages/agents/queries";
import { boardsQuery, gatewaysQuery, groupsQuery } from "@/pages/boards/queries";
import { setTheme, toggleSidebar } from "@/lib/theme";
import shell from "@/texts/en/shell";
import { texts } from "@/texts/catalogue";
import { Key } from "@/ui/badge";
import { cx } from "@/ui/cx";
import { Modal } from "@/ui/dialog";
import { overlay } from "./app";
import { useOrganizationSwitch } from "./organizations";
import { navigation, pages } from "./pages";

const t = texts("shell", shell);

/** How well words fit: smaller is better, undefined is not at all. */
export function score(query: string, command: Pick<Command, "label" | "words" | "group">): number | undefined {
  const label = command.label.toLowerCase();
  const all = `${label} ${command.words?.toLowerCase() ?? ""} ${command.group.toLowerCase()}`;
  let sum = 0;
  for (const word of query.toLowerCase().split(/\s+/).filter(Boolean)) {
    const at = all.indexOf(word);
    if (at >= 0) {
      const begins = at === 0 || /[\s/·-]/.test(all[at - 1] ?? "");
      sum += at < label.length ? (begins ? 0 : 2) + at / 100 : 4;
      continue;
    }
    // Its letters in order, as in `nwt` for “New task”.
    let from = 0;
    for (const letter of word) {
      from = label.indexOf(letter, from) + 1;
      if (from === 0) return undefined;
    }
    sum += 8;
  }
  return sum;
}

/** Go anywhere, do anything. */
export default function Palette({ onClose }: { onClose: () => void }) {
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const id = useId();
  const [, go] = useLocation();
  const offered = useStore(commands);
  const admin = useIsAdmin();
  const boards = useQuery(boardsQuery);
  const agents = useQuery(agentsQuery);
  const groups = useQuery(groupsQuery);
  const gateways = useQuery({ ...gatewaysQuery, enabled: admin });
  const organizations = useQuery(organizationsQuery);
  const { change } = useOrganizationSwitch();

  const all = useMemo<Command[]>(() => {
    const here = [...offered.values()].flat();
    return [
      ...here,
      ...navigation
        .filter((entry) => !entry.admin || admin)
        .map((entry) => ({ id: `go-${entry.to}`, label: entry.label(), group: t.palette.goTo, icon: entry.icon, to: entry.to, hint: entry.key && shown(`g ${entry.key}`).join(" ") })),
      ...pages.flatMap((page) => page.commands?.() ?? []).filter((command) => !command.admin || admin),
      ...(boards.data ?? []).map((board) => ({ id: `board-${board.id}`, label: board.name, group: t.palette.boards, icon: SquareKanban, words: board.slug, to: `/boards/${board.id}` })),
      ...(agents.data ?? []).map((agent) => ({ id: `agent-${agent.id}`, label: agent.name, group: t.palette.agents, icon: Bot, to: `/agents/${agent.id}` })),
      ...(groups.data ?? []).map((group) => ({ id: `group-${group.id}`, label: group.name, group: t.palette.groups, icon: Layers, words: group.slug, to: `/groups/${group.id}` })),
      ...(gateways.data ?? []).map((gateway) => ({ id: `gateway-${gateway.id}`, label: gateway.name, group: t.palette.gateways, icon: Router, words: gateway.url, to: `/gateways/${gateway.id}` })),
      ...(organizations.data ?? [])
        .filter((organization) => !organization.isActive)
        .map((organization) => ({ id: `organization-${organization.id}`, label: t.palette.enter(organization.name), group: t.organizations, icon: Building2, run: () => void change(organization.id, organization.name) })),
      { id: "theme-light", label: `${t.theme.label}: ${t.theme.light}`, group: t.palette.actions, icon: Sun, run: () => setTheme("light") },
      { id: "theme-dark", label: `${t.theme.label}: ${t.theme.dark}`, group: t.palette.actions, icon: Moon, run: () => setTheme("dark") },
      { id: "theme-system", label: `${t.theme.label}: ${t.theme.system}`, group: t.palette.actions, icon: Sun, run: () => setTheme("system") },
      { id: "sidebar", label: t.collapse, group: t.palette.actions, icon: PanelLeft, words: t.expand, run: toggleSidebar, hint: "[" },
      { id: "shortcuts", label: t.help, group: t.palette.actions, icon: Keyboard, run: () => overlay.set("shortcuts"), hint: "?" },
      { id: "sign-out", label: t.signOut, group: t.palette.actions, icon: LogOut, run: signOut },
    ];
  }, [offered, admin, boards.data, agents.data, groups.data, gateways.data, organizations.data, change]);

  const found = useMemo(() => {
    if (query.trim() === "") return all;
    return all
      .map((command) => ({ command, score: score(query, command) }))
      .filter((one): one is { command: Command; score: number } => one.score !== undefined)
      .sort((a, b) => a.score - b.score)
      .map((one) => one.command)
      .slice(0, 60);
  }, [all, query]);

  const run = (command: Command | undefined) => {
    if (!command) return;
    onClose();
    if (command.to !== undefined) go(command.to);
    command.run?.();
  };
  const keys = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && found.length > 0) {
      const next = (at + step + found.length) % found.length;
      setAt(next);
      document.getElementById(`${id}-${next}`)?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") run(found[at]);
    else return;
    event.preventDefault();
  };
  return (
    <Modal open onClose={onClose} label={t.palette.label} className="fixed top-[12vh] left-1/2 m-0 w-[min(600px,calc(100vw-24px))] -translate-x-1/2 bg-transparent p-0 animate-[rise_100ms_ease-out]">
      <div className="overflow-hidden rounded-xl border bg-raised shadow-pop">
        <div className="flex items-center gap-2.5 border-b px-4">
          <Search size={16} aria-hidden className="text-subtle" />
          <input
            autoFocus
            role="combobox"
            aria-label={t.palette.label}
            aria-expanded
            aria-controls={`${id}-list`}
            aria-activedescendant={found[at] ? `${id}-${at}` : undefined}
            aria-autocomplete="list"
            placeholder={t.palette.placeholder}
            value={query}
            onChange={(event) => {
              setQuery(event.target.value);
              setAt(0);
            }}
            onKeyDown={keys}
            className="h-12 flex-1 bg-transparent text-base outline-none"
          />
        </div>
        <div id={`${id}-list`} role="listbox" aria-label={t.palette.label} className="max-h-[min(420px,60vh)] overflow-y-auto p-1.5">
          {found.length === 0 && <p className="px-3 py-8 text-center text-muted">{t.palette.empty(query)}</p>}
          {found.map((command, index) => {
            const Icon = command.icon ?? ChevronRight;
            const head = query.trim() === "" && command.group !== found[index - 1]?.group;
            return (
              <div key={command.id} role="presentation">
                {head && (
                  <p role="presentation" className="px-2.5 pt-2 pb-1 text-2xs font-medium text-subtle">
                    {command.group}
                  </p>
                )}
                <div
                  id={`${id}-${index}`}
                  role="option"
                  aria-selected={index === at}
                  onPointerMove={() => setAt(index)}
                  onClick={() => run(command)}
                  className={cx("flex h-9 cursor-default items-center gap-3 rounded-md px-2.5", index === at && "bg-hover")}
                >
                  <Icon size={16} aria-hidden className="shrink-0 text-subtle" />
                  <span className="min-w-0 flex-1 truncate">{command.label}</span>
                  {query.trim() !== "" && <span className="text-xs text-subtle">{command.group}</span>}
                  {command.hint && <Key>{command.hint}</Key>}
                </div>
              </div>
            );
          })}
        </div>
        <p className="border-t bg-sunken/60 px-4 py-2 text-2xs text-subtle">{t.palette.keys}</p>
      </div>
    </Modal>
  );
}
