// Work that goes on after its request was answered, followed step by step.
import { RotateCw } from "lucide-react";
import { useCallback, useEffect, useState } from "react";
import { type Operation, type OperationItem, OperationItemState, OperationService, OperationState } from "@/gen/missioncontrol/agent/v1/operations_pb";
import { api } from "@/lib/api";
import parts from "@/texts/en/parts";
import { texts } from "@/texts/catalogue";
import { Button } from "@/ui/button";
import { Progress, type StepState, Steps } from "@/ui/steps";
import { mergeItems } from "./operation-state";

const t = texts("parts", parts);

/** An operation as it moves. */
export interface Following {
  readonly operation: Operation | undefined;
  readonly items: readonly OperationItem[];
  /** It cannot be followed; `again` tries. */
  readonly lost: unknown;
  again(): void;
}

/** Follows an operation until it is settled; nothing without an id. */
export function useOperation(id: string | undefined, onSettled?: (operation: Operation) => void): Following {
  const [state, setState] = useState<{ operation?: Operation; items: readonly OperationItem[]; lost: unknown }>({ items: [], lost: null });
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    if (!id) return;
    const control = new AbortController();
    setState({ items: [], lost: null });
    void (async () => {
      try {
        for await (const event of api(OperationService).watchOperation({ operationId: id }, { signal: control.signal, timeoutMs: 0 })) {
          setState((now) => ({ operation: event.operation ?? now.operation, items: mergeItems(now.items, event.items), lost: null }));
          if (event.operation && event.operation.state !== OperationState.RUNNING) onSettled?.(event.operation);
        }
      } catch (error) {
        if (!control.signal.aborted) setState((now) => ({ ...now, lost: error }));
      }
    })();
    return () => control.abort();
    // What happens at the end may change with every render without a new beginning.
  }, [id, attempt]);
  return { ...state, operation: state.operation, again: useCallback(() => setAttempt((n) => n + 1), []) };
}

const STATES: Record<OperationItemState, StepState> = {
  [OperationItemState.UNSPECIFIED]: "waiting",
  [OperationItemState.WAITING]: "waiting",
  [OperationItemState.DONE]: "done",
  [OperationItemState.FAILED]: "failed",
  [OperationItemState.SKIPPED]: "skipped",
};

/** How far it is, and part by part. `titles` renames parts. */
export function OperationView({ following, titles }: { following: Following; titles?: Readonly<Record<string, string>> }) {
  const { operation, items, lost } = following;
  const running = operation?.state === OperationState.RUNNING;
  const first = items.findIndex((item) => item.state === OperationItemState.WAITING);
  const settled = operation ? operation.done + operation.failed + operation.skipped : 0;
  return (
    <div className="space-y-3">
      {operation && operation.total > 1 && (
        <div className="space-y-1.5">
          <div className="flex items-baseline gap-3 text-sm">
            <span className="min-w-0 flex-1 font-medium" role="status">
              {running ? t.operation.running : operation.state === OperationState.FAILED ? t.operation.failed : t.operation.succeeded}
            </span>
            <span className="text-xs text-muted tabular">{t.operation.progress(settled, operation.total)}</span>
          </div>
          <Progress value={settled / Math.max(1, operation.total)} label={operation.title} tone={operation.state === OperationState.FAILED || operation.failed > 0 ? "bad" : running ? "info" : "ok"} />
        </div>
      )}
      {operation?.message && <p className="text-xs text-muted">{operation.message}</p>}
      {items.length > 0 && (
        <Steps
          label={operation?.title ?? ""}
          words={t.state}
          steps={items.map((item, index) => ({
            key: `${item.name}-${item.agentId ?? ""}`,
            title: titles?.[item.name] ?? item.name,
            state: item.state === OperationItemState.WAITING && running && index === first ? "running" : STATES[item.state],
            detail: item.message,
          }))}
        />
      )}
      {lost !== null && (
        <div className="flex flex-wrap items-center gap-3 rounded-md bg-warn-wash px-3 py-2 text-sm text-warn-ink" role="alert">
          <span className="min-w-0 flex-1">{t.operation.lost}</span>
          <Button size="sm" icon={RotateCw} onClick={following.again}>
            {t.operation.watchAgain}
          </Button>
        </div>
      )}
    </div>
  );
}
