import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { AgentFilesPreviewSchema, FileChange } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { sortPreviews } from "./templates-state";

test("agents are sorted by what a sync means for them", () => {
  const preview = (agentName: string, change: FileChange, rest: { skipped?: string; error?: string } = {}) =>
    create(AgentFilesPreviewSchema, { agentName, files: [{ name: "SOUL.md", change }], ...rest });
  const { changing, same, left } = sortPreviews([
    preview("Ada", FileChange.CHANGED),
    preview("Linus", FileChange.UNCHANGED),
    preview("Grace", FileChange.NEW),
    preview("Alan", FileChange.KEPT),
    preview("Edsger", FileChange.CHANGED, { skipped: "not a lead" }),
    preview("Barbara", FileChange.UNSPECIFIED, { error: "away" }),
  ]);
  expect([changing, same, left].map((group) => group.map((one) => one.agentName))).toEqual([["Ada", "Grace"], ["Linus", "Alan"], ["Edsger", "Barbara"]]);
});
