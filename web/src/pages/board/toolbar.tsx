import { ArrowDownWideNarrow, Link2, ListFilter, Search, X } from "lucide-react";
import { type Ref, useEffect, useMemo, useState } from "react";
import { number } from "@/lib/format";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { Avatar } from "@/ui/badge";
import { cx } from "@/ui/cx";
import { Input } from "@/ui/field";
import { Menu } from "@/ui/menu";
import { type Choice, Picker } from "@/ui/picker";
import type { BoardData } from "./data";
import { STATUSES } from "./data";
import { type Filter, filterCount, SORTS, STATUS_WORDS, weight } from "./filters";
import { FieldFilter } from "./field-filter";
import { PriorityIcon, priorityName, StatusIcon } from "./marks";

const t = texts("board", board);
const CHIP = "inline-flex h-8 items-center gap-1.5 rounded-md border px-2 text-xs font-medium whitespace-nowrap hover:bg-hover";
const chip = (on: boolean) => cx(CHIP, on ? "border-ink! bg-surface text-ink" : "border-line bg-surface text-muted");

/** What narrows the tasks down. */
export function Toolbar({
  data,
  filter,
  change,
  shown,
  list,
  searchRef,
}: {
  data: BoardData;
  filter: Filter;
  change: (values: Record<string, string | readonly string[] | null>) => void;
  shown: number;
  list: boolean;
  searchRef: Ref<HTMLInputElement>;
}) {
  // Typing is shown at once; the address follows a moment later.
  const [text, setText] = useState(filter.text);
  useEffect(() => setText(filter.text), [filter.text]);
  useEffect(() => {
    if (text === filter.text) return;
    const timer = setTimeout(() => change({ q: text }), 120);
    return () => clearTimeout(timer);
  }, [text, filter.text, change]);

  const agents: Choice[] = useMemo(
    () => [{ value: "none", label: t.nobody }, ...data.agents.map((agent) => ({ value: agent.id, label: agent.name, mark: <Avatar name={agent.name} kind="agent" size={18} /> }))],
    [data.agents],
  );
  const [tags, priorities] = useMemo(() => {
    const found = new Map<string, Choice>();
    const words = new Set<string>();
    for (const task of data.tasks.values()) {
      words.add(task.priority);
      for (const tag of task.tags) found.set(tag.id, { value: tag.id, label: tag.name, mark: <span className="size-2 rounded-full" style={{ background: `#${tag.color}` }} /> });
    }
    return [
      [...found.values()].sort((a, b) => a.label.localeCompare(b.label)),
      [...words].sort((a, b) => weight(b) - weight(a)).map((word) => ({ value: word, label: priorityName(word), mark: <PriorityIcon priority={word} /> })),
    ];
  }, [data.tasks]);
  const set = (name: string) => (value: string[]) => change({ [name]: value.join(",") });
  const named = (label: string, values: readonly string[], choices: readonly Choice[]) =>
    values.length === 0 ? label : `${label}: ${values.length === 1 ? (choices.find((choice) => choice.value === values[0])?.label ?? number(1)) : number(values.length)}`;
  const statuses = STATUSES.map((status) => ({ value: STATUS_WORDS[status], label: t.status[STATUS_WORDS[status]], mark: <StatusIcon status={status} /> }));
  const active = filterCount(filter);
  return (
    <div className="relative flex shrink-0 items-center gap-2 overflow-x-auto border-b px-4 py-2 sm:px-6" role="search" aria-label={t.filters}>
      <div className="relative shrink-0">
        <Search size={14} aria-hidden className="pointer-events-none absolute top-2.25 left-2.5 text-subtle" />
        <Input ref={searchRef} type="search" aria-label={t.filterText} placeholder={t.filterText} value={text} onChange={(event) => setText(event.target.value)} className="w-44 pl-8" />
      </div>
      {list && (
        <Picker prefix={false} label={t.statusLabel} multiple choices={statuses} value={filter.statuses} onChange={set("status")} className={chip(filter.statuses.length > 0)}>
          <ListFilter size={13} aria-hidden />
          {named(t.statusLabel, filter.statuses, statuses)}
        </Picker>
      )}
      <Picker prefix={false} label={t.assignee} multiple choices={agents} value={filter.assignees} onChange={set("assignee")} className={chip(filter.assignees.length > 0)}>
        {named(t.assignee, filter.assignees, agents)}
      </Picker>
      {tags.length > 0 && (
        <Picker prefix={false} label={t.tags} multiple choices={tags} value={filter.tags} onChange={set("tag")} className={chip(filter.tags.length > 0)}>
          {named(t.tags, filter.tags, tags)}
        </Picker>
      )}
      <Picker prefix={false} label={t.priority} multiple choices={priorities} value={filter.priorities} onChange={set("priority")} className={chip(filter.priorities.length > 0)}>
        {named(t.priority, filter.priorities, priorities)}
      </Picker>
      <button type="button" aria-pressed={filter.blocked} onClick={() => change({ blocked: filter.blocked ? null : "1" })} className={chip(filter.blocked)}>
        <Link2 size={13} aria-hidden />
        {t.blocked}
      </button>
      <FieldFilter boardId={data.board.id} values={filter.fields} onChange={(fields) => change({ field: fields })} className={chip(filter.fields.length > 0)} />
      {active > 0 && (
        <button
          type="button"
          className={cx(CHIP, "border-transparent text-muted")}
          onClick={() => {
            setText("");
            change({ q: null, status: null, assignee: null, tag: null, priority: null, blocked: null, field: null });
          }}
        >
          <X size={13} aria-hidden />
          {t.clearFilters}
        </button>
      )}
      <span className="flex-1" />
      <span role="status" className="text-xs whitespace-nowrap text-muted tabular">
        {active > 0 ? t.tasksOf(shown, data.tasks.size) : t.tasks(data.tasks.size)}
      </span>
      <Menu
        label={t.sort}
        align="end"
        className={chip(false)}
        items={SORTS.map((sort) => ({ label: t.sorts[sort], checked: filter.sort === sort, run: () => change({ sort: sort === "priority" ? null : sort }) }))}
      >
        <ArrowDownWideNarrow size={13} aria-hidden />
        {t.sorts[filter.sort]}
      </Menu>
    </div>
  );
}
