import type { OperationItem } from "@/gen/missioncontrol/agent/v1/operations_pb";

/** The parts after some moved; those not known yet come last. */
export function mergeItems(known: readonly OperationItem[], moved: readonly OperationItem[]): readonly OperationItem[] {
  if (moved.length === 0) return known;
  const key = (item: OperationItem) => `${item.agentId ?? ""}|${item.name}`;
  const fresh = new Map(moved.map((item) => [key(item), item]));
  const merged = known.map((item) => {
    const newer = fresh.get(key(item));
    fresh.delete(key(item));
    return newer ?? item;
  });
  return [...merged, ...fresh.values()];
}
