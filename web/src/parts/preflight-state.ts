import { type PreflightStep, StepStatus } from "@/gen/missioncontrol/gateway/v1/gateway_pb";

/** The steps of a walk in their order. */
export const STEPS = ["dns", "tcp", "tls", "websocket", "challenge", "authentication", "pairing", "scopes", "version", "methods"] as const;

/** The steps after one more report: each is there once, where it first came. */
export function mergeStep(steps: readonly PreflightStep[], step: PreflightStep): readonly PreflightStep[] {
  const at = steps.findIndex((known) => known.name === step.name);
  return at < 0 ? [...steps, step] : steps.with(at, step);
}

/** The step that failed. */
export function failedStep(steps: readonly PreflightStep[]): PreflightStep | undefined {
  return steps.find((step) => step.status === StepStatus.FAILED);
}

/** Whether what failed passes by itself within seconds. */
export function passesSoon(steps: readonly PreflightStep[]): boolean {
  return ["STARTING", "RESTARTING", "UPGRADE_UNAVAILABLE"].includes(failedStep(steps)?.errorCode ?? "");
}

/** Whether a gateway may be stored after this walk: nothing failed, or it only wants the device approved. */
export function mayStore(steps: readonly PreflightStep[]): boolean {
  const failed = failedStep(steps);
  return steps.length > 0 && (!failed || Boolean(failed.pairingRequestId));
}
