// The walk to a gateway, step by step as it happens, with the remedy for what fails.
import { RotateCw, ShieldCheck } from "lucide-react";
import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { GatewayService, type PreflightGatewayRequest, type PreflightStep, StepStatus } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { api } from "@/lib/api";
import { say } from "@/lib/errors";
import { duration } from "@/lib/format";
import parts from "@/texts/en/parts";
import { texts } from "@/texts/catalogue";
import { Button } from "@/ui/button";
import { CopyBox } from "@/ui/copy";
import { FormFailure } from "@/ui/field";
import { type StepState, Steps } from "@/ui/steps";
import { fingerprintWords } from "./gateway";
import { failedStep, mergeStep, STEPS } from "./preflight-state";

const t = texts("parts", parts);
const words = t.preflight;

/** What to walk to. */
export type Walk = Partial<Pick<PreflightGatewayRequest, "gatewayId" | "url" | "token" | "allowInsecureTls" | "disableDevicePairing" | "tlsFingerprint">>;

/** A walk, under way or over. */
export interface Preflight {
  readonly steps: readonly PreflightStep[];
  readonly running: boolean;
  /** It broke off: the server could not be asked. */
  readonly broken: unknown;
  /** Walks; resolves with the steps when it is over. A newer walk ends an older one. */
  walk(to: Walk): Promise<readonly PreflightStep[]>;
  clear(): void;
}

/** A walk to a gateway. */
export function usePreflight(): Preflight {
  const [steps, setSteps] = useState<readonly PreflightStep[]>([]);
  const [running, setRunning] = useState(false);
  const [broken, setBroken] = useState<unknown>(null);
  const control = useRef<AbortController>(undefined);
  useEffect(() => () => control.current?.abort(), []);
  const walk = useCallback(async (to: Walk) => {
    control.current?.abort();
    const mine = new AbortController();
    control.current = mine;
    let seen: readonly PreflightStep[] = [];
    setSteps(seen);
    setBroken(null);
    setRunning(true);
    try {
      for await (const step of api(GatewayService).preflightGateway(to, { signal: mine.signal, timeoutMs: 90_000 })) {
        if (control.current !== mine) break;
        seen = mergeStep(seen, step);
        setSteps(seen);
      }
    } catch (error) {
      if (control.current === mine && !mine.signal.aborted) setBroken(error);
      throw error;
    } finally {
      if (control.current === mine) setRunning(false);
    }
    return seen;
  }, []);
  const clear = useCallback(() => {
    control.current?.abort();
    setSteps([]);
    setRunning(false);
    setBroken(null);
  }, []);
  return { steps, running, broken, walk, clear };
}

const STATES: Record<StepStatus, StepState> = {
  [StepStatus.UNSPECIFIED]: "waiting",
  [StepStatus.RUNNING]: "running",
  [StepStatus.PASSED]: "done",
  [StepStatus.WARNING]: "warning",
  [StepStatus.FAILED]: "failed",
  [StepStatus.SKIPPED]: "skipped",
};

/** The steps. `onTrust` takes a fingerprint that the person vouches for; `onAgain` walks once more. */
export function PreflightView({ preflight, onTrust, onAgain }: { preflight: Preflight; onTrust?: (fingerprint: string) => void; onAgain?: () => void }) {
  const byName = new Map(preflight.steps.map((step) => [step.name, step]));
  const names = [...STEPS, ...preflight.steps.map((step) => step.name).filter((name) => !(STEPS as readonly string[]).includes(name))];
  const failed = failedStep(preflight.steps);
  const warned = preflight.steps.some((step) => step.status === StepStatus.WARNING);
  const over = !preflight.running && preflight.steps.length > 0 && preflight.broken === null;
  return (
    <div className="space-y-3">
      <Steps
        label={words.title}
        words={t.state}
        steps={names.map((name) => {
          const step = byName.get(name);
          return {
            key: name,
            title: words.steps[name] ?? name,
            state: step ? STATES[step.status] : preflight.running || !failed ? "waiting" : "skipped",
            detail: step?.status === StepStatus.SKIPPED ? undefined : step?.detail,
            note: step?.status === StepStatus.SKIPPED ? step.detail : step && step.status !== StepStatus.RUNNING && step.durationMs > 0 ? duration(step.durationMs) : undefined,
            children: step && remedy(step, preflight.running, onTrust, onAgain),
          };
        })}
      />
      <p role="status" className={over && !failed ? "rounded-md bg-ok-wash px-3 py-2 text-sm font-medium text-ok-ink" : "sr-only"}>
        {over ? (failed ? words.failedAt(words.steps[failed.name] ?? failed.name, failed.detail) : warned ? words.passedWarnings : words.passed) : ""}
      </p>
      {preflight.broken !== null && (
        <FormFailure>
          {words.broken}: {say(preflight.broken)}
        </FormFailure>
      )}
    </div>
  );
}

function remedy(step: PreflightStep, running: boolean, onTrust?: (fingerprint: string) => void, onAgain?: () => void): ReactNode {
  const wrong = step.status === StepStatus.FAILED;
  if (!wrong && step.status !== StepStatus.WARNING) return undefined;
  if (!step.remedy && !step.pairingRequestId && !step.tlsFingerprint) return undefined;
  const again = onAgain && wrong && (
    <Button size="sm" icon={RotateCw} busy={running} onClick={onAgain}>
      {words.again}
    </Button>
  );
  if (step.pairingRequestId) return <Approve requestId={step.pairingRequestId} action={again} />;
  if (step.tlsFingerprint && wrong && onTrust) {
    const print = step.tlsFingerprint;
    return (
      <Box title={words.trustTitle}>
        <p className="text-xs text-muted">{words.trustBody}</p>
        <p className="text-2xs text-subtle">{words.fingerprint}</p>
        <code className="block rounded-md border bg-surface px-2.5 py-1.5 font-mono text-xs break-all">{fingerprintWords(print)}</code>
        <Button size="sm" icon={ShieldCheck} onClick={() => onTrust(print)}>
          {words.trust}
        </Button>
      </Box>
    );
  }
  return (
    <Box title={words.remedy}>
      <p className="text-xs break-words text-muted">{step.remedy}</p>
      {again}
    </Box>
  );
}

/** How to approve the device of a gateway. */
export function Approve({ requestId, action }: { requestId: string; action?: ReactNode }) {
  return (
    <Box title={words.approveTitle}>
      <p className="text-xs text-muted">{words.approveBody}</p>
      <CopyBox text={`openclaw devices approve ${requestId}`} label={words.approveLabel} />
      {action}
    </Box>
  );
}

function Box({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="space-y-2 rounded-md border bg-canvas p-3">
      <p className="text-xs font-semibold">{title}</p>
      {children}
    </div>
  );
}
