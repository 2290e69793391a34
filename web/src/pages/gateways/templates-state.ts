import { type AgentFilesPreview, FileChange } from "@/gen/missioncontrol/agent/v1/agent_pb";

/** Agents by what a sync means for them: files change, all is as it should be, or they are left out. */
export function sortPreviews(items: readonly AgentFilesPreview[]): { changing: AgentFilesPreview[]; same: AgentFilesPreview[]; left: AgentFilesPreview[] } {
  const changes = (preview: AgentFilesPreview) => preview.files.some((file) => file.change === FileChange.CHANGED || file.change === FileChange.NEW);
  const isLeft = (preview: AgentFilesPreview) => preview.skipped !== undefined || preview.error !== undefined;
  return {
    changing: items.filter((preview) => !isLeft(preview) && changes(preview)),
    same: items.filter((preview) => !isLeft(preview) && !changes(preview)),
    left: items.filter(isLeft),
  };
}
