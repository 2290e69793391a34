import { MemoryService } from "@/gen/missioncontrol/board/v1/memory_pb";
import { api } from "@/lib/api";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { confirm } from "@/ui/confirm";
import { toast, toastError } from "@/ui/toast";

const t = texts("board", board);

/** Tells all agents of a board to wait, or to go on: the word of the chat that reaches every one of them. */
export async function setPaused(boardId: string, pause: boolean): Promise<void> {
  if (pause && !(await confirm({ title: t.pauseTitle, body: t.pauseBody, action: t.pause, mild: true }))) return;
  try {
    await api(MemoryService).createBoardMemory({ boardId, content: pause ? "/pause" : "/resume", tags: { items: ["chat"] } });
    toast({ tone: "ok", title: pause ? t.paused : t.resumed });
  } catch (error) {
    toastError(error, t.notSent);
  }
}
