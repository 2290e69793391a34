// Files of an agent as they are rendered: those of an agent that exists, or of one that is being typed in.
import { keepPreviousData, queryOptions, useQuery } from "@tanstack/react-query";
import { FileText } from "lucide-react";
import { useEffect, useState } from "react";
import { type Agent, type PreviewAgentFilesResponse, TemplateService } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { api } from "@/lib/api";
import { jsonBytes } from "@/lib/rest";
import agents from "@/texts/en/agents";
import { texts } from "@/texts/catalogue";
import { CopyButton } from "@/ui/copy";
import { cx } from "@/ui/cx";
import { Card } from "@/ui/page";
import { Notice, QueryView } from "@/ui/states";

const t = texts("agents", agents);

/** What files are made from. */
export interface Draft {
  agentId?: string;
  boardId?: string;
  name?: string;
  profile?: Record<string, unknown>;
  identityTemplate?: string;
  soulTemplate?: string;
}

/** The files for a draft. */
export const filesQuery = (draft: Draft) =>
  queryOptions({
    queryKey: ["agent-files", draft],
    queryFn: ({ signal }) =>
      api(TemplateService).previewAgentFiles(
        {
          agentId: draft.agentId,
          boardId: draft.agentId ? undefined : draft.boardId,
          name: draft.name,
          identityProfile: draft.profile && jsonBytes(draft.profile),
          identityTemplate: draft.identityTemplate,
          soulTemplate: draft.soulTemplate,
        },
        { signal },
      ),
    placeholderData: keepPreviousData,
    gcTime: 60_000,
    retry: false,
  });

/** A value that follows another after a pause in typing. */
export function useSettled<T>(value: T, pause = 350): T {
  const [settled, setSettled] = useState(value);
  const key = JSON.stringify(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), pause);
    return () => clearTimeout(timer);
    // The value as a text stands for the value.
  }, [key, pause]);
  return settled;
}

/** The files of an agent that exists. */
export function StoredFiles({ agent }: { agent: Pick<Agent, "id"> }) {
  const files = useQuery(filesQuery({ agentId: agent.id }));
  return (
    <Card flush>
      <QueryView query={files} isEmpty={(data) => data.files.length === 0} empty={<Notice icon={FileText} title={t.form.previewFailed} />}>
        {(data) => <FilesView data={data} className="h-[calc(100dvh-240px)] min-h-96" />}
      </QueryView>
    </Card>
  );
}

/** A choice of files and the text of one. */
export function FilesView({ data, wanted, stale, className }: { data: PreviewAgentFilesResponse; wanted?: string; stale?: boolean; className?: string }) {
  const [chosen, setChosen] = useState(wanted);
  // What is being worked on comes to the front.
  useEffect(() => setChosen(wanted), [wanted]);
  const file = data.files.find((one) => one.name === chosen) ?? data.files.find((one) => one.name === "IDENTITY.md") ?? data.files[0];
  return (
    <div className={cx("flex min-h-0 flex-col", className)}>
      <div className="flex items-center gap-1 border-b py-1.5 pr-2 pl-2">
        <div role="group" aria-label={t.form.filesOf} className="flex min-w-0 flex-1 gap-0.5 overflow-x-auto">
          {data.files.map((one) => (
            <button
              key={one.name}
              type="button"
              aria-pressed={one.name === file?.name}
              onClick={() => setChosen(one.name)}
              className={cx("h-7 shrink-0 rounded-md px-2 font-mono text-2xs -outline-offset-2", one.name === file?.name ? "bg-pressed text-ink" : "text-muted hover:bg-hover hover:text-ink")}
            >
              {one.name.replace(/\.md$/, "")}
            </button>
          ))}
        </div>
        {file && <CopyButton text={file.content} />}
      </div>
      <pre tabIndex={0} role="region" aria-label={file?.name} className={cx("min-h-0 flex-1 overflow-auto p-4 font-mono text-xs leading-[1.6] break-words whitespace-pre-wrap transition-opacity -outline-offset-2", stale && "opacity-60")}>
        {file?.content}
      </pre>
    </div>
  );
}
