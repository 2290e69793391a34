import { keepPreviousData, queryOptions, useQuery } from "@tanstack/react-query";
import { Search } from "lucide-react";
import { useState } from "react";
import { type SoulRef, SoulDirectoryService } from "@/gen/missioncontrol/agent/v1/souls_pb";
import { api } from "@/lib/api";
import agents from "@/texts/en/agents";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Dialog } from "@/ui/dialog";
import { Input } from "@/ui/field";
import { Notice, QueryView, Skeleton } from "@/ui/states";
import { useSettled } from "./files";

const t = texts("agents", agents).souls;
const words = texts("ui", ui);

const searchQuery = (q: string) =>
  queryOptions({
    queryKey: ["souls", "search", q],
    queryFn: async ({ signal }) => (await api(SoulDirectoryService).searchSouls({ q, limit: 100 }, { signal })).items,
    placeholderData: keepPreviousData,
    retry: false,
  });

const soulQuery = (handle: string, slug: string) =>
  queryOptions({
    queryKey: ["souls", handle, slug],
    queryFn: ({ signal }) => api(SoulDirectoryService).getSoul({ handle, slug }, { signal }),
    retry: false,
  });

/** Finds a published soul and reads it before it is taken. */
export default function Souls({ onClose, onTake }: { onClose: () => void; onTake: (text: string) => void }) {
  const [query, setQuery] = useState("");
  const [chosen, setChosen] = useState<SoulRef>();
  const found = useQuery(searchQuery(useSettled(query.trim(), 250)));
  const soul = useQuery({ ...soulQuery(chosen?.handle ?? "", chosen?.slug ?? ""), enabled: chosen !== undefined });
  return (
    <Dialog
      open
      onClose={onClose}
      title={t.title}
      description={t.lead}
      size="xl"
      footer={
        <>
          <Button variant="ghost" onClick={onClose}>
            {words.cancel}
          </Button>
          <Button
            variant="primary"
            disabled={!soul.data}
            onClick={() => {
              // Published texts are no templates: what looks like a variable is meant as it stands.
              if (soul.data) onTake(/\{[{%#]/.test(soul.data.content) ? `{% raw %}\n${soul.data.content}\n{% endraw %}` : soul.data.content);
              onClose();
            }}
          >
            {t.take}
          </Button>
        </>
      }
    >
      <div className="grid gap-4 sm:h-[52vh] sm:grid-cols-[260px_1fr]">
        <div className="flex min-h-0 flex-col gap-2">
          <div className="relative">
            <Search size={14} aria-hidden className="pointer-events-none absolute top-2.25 left-2.5 text-subtle" />
            <Input autoFocus type="search" aria-label={t.search} placeholder={t.search} value={query} onChange={(event) => setQuery(event.target.value)} className="pl-8" />
          </div>
          <div className="min-h-0 flex-1 overflow-y-auto max-sm:max-h-48">
            <QueryView query={found} isEmpty={(all) => all.length === 0} empty={<p className="px-2 py-6 text-center text-sm text-muted">{t.none}</p>}>
              {(all) => (
                <ul>
                  {all.map((one) => (
                    <li key={`${one.handle}/${one.slug}`}>
                      <button
                        type="button"
                        aria-pressed={chosen?.handle === one.handle && chosen.slug === one.slug}
                        onClick={() => setChosen(one)}
                        className={cx("w-full rounded-md px-2 py-1.5 text-left -outline-offset-2 hover:bg-hover", chosen?.handle === one.handle && chosen.slug === one.slug && "bg-pressed")}
                      >
                        <span className="block truncate text-sm font-medium">{one.slug}</span>
                        <span className="block truncate text-xs text-muted">{t.by(one.handle)}</span>
                      </button>
                    </li>
                  ))}
                </ul>
              )}
            </QueryView>
          </div>
        </div>
        <div className="min-h-0 overflow-auto rounded-md border bg-sunken" tabIndex={0} role="region" aria-label={chosen?.slug ?? t.choose}>
          {!chosen ? (
            <Notice title={t.choose} />
          ) : (
            <QueryView query={soul} skeleton={<div className="p-4"><Skeleton /></div>}>
              {(data) => <pre className="p-4 font-mono text-xs leading-[1.6] break-words whitespace-pre-wrap">{data.content}</pre>}
            </QueryView>
          )}
        </div>
      </div>
    </Dialog>
  );
}
