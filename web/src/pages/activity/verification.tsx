import { useQuery } from "@tanstack/react-query";
import { RotateCw, ShieldAlert, ShieldCheck } from "lucide-react";
import { useCallback, useEffect, useState } from "react";
import { type AuditAnchor, type AuditProblem, AuditService } from "@/gen/missioncontrol/activity/v1/audit_pb";
import { api } from "@/lib/api";
import { say } from "@/lib/errors";
import { dateTime, number, toDate } from "@/lib/format";
import activity from "@/texts/en/activity";
import { texts } from "@/texts/catalogue";
import { Button } from "@/ui/button";
import { CopyBox } from "@/ui/copy";
import { Dialog } from "@/ui/dialog";
import { FormFailure } from "@/ui/field";

const t = texts("activity", activity);
const PART = 20_000;

interface Progress {
  checked: bigint;
  to: bigint;
  head: bigint;
  begins: bigint;
  problems: AuditProblem[];
  done: boolean;
}

/** The anchor as it is written down: one JSON object in one line. */
export function anchorText(anchor: AuditAnchor): string {
  return JSON.stringify({
    organization_id: anchor.organizationId,
    position: Number(anchor.position),
    hash: anchor.hash,
    signature: anchor.signature,
    ...(anchor.at ? { at: toDate(anchor.at).toISOString() } : {}),
  });
}

/** Checks the whole chain part by part, and says what it found. */
export default function Verification({ onClose }: { onClose: () => void }) {
  const [progress, setProgress] = useState<Progress>({ checked: 0n, to: 0n, head: 0n, begins: 0n, problems: [], done: false });
  const [failure, setFailure] = useState<string>();
  const [round, setRound] = useState(0);
  const anchor = useQuery({ queryKey: ["audit", "anchor", round], queryFn: ({ signal }) => api(AuditService).getAuditAnchor({}, { signal }), enabled: progress.done });
  const run = useCallback(async (signal: AbortSignal) => {
    let now: Progress = { checked: 0n, to: 0n, head: 0n, begins: 0n, problems: [], done: false };
    setProgress(now);
    setFailure(undefined);
    try {
      while (!now.done) {
        const part = await api(AuditService).verifyAudit({ afterPosition: now.to, limit: PART }, { signal, timeoutMs: 120_000 });
        const stuck = !part.complete && part.checkedTo <= now.to;
        now = { checked: now.checked + part.checked, to: part.checkedTo, head: part.headPosition, begins: part.chainBegins, problems: [...now.problems, ...part.problems], done: part.complete || stuck };
        setProgress(now);
      }
    } catch (error) {
      if (!signal.aborted) setFailure(say(error));
    }
  }, []);
  useEffect(() => {
    const control = new AbortController();
    void run(control.signal);
    return () => control.abort();
  }, [run, round]);
  const { checked, head, begins, problems, done } = progress;
  const whole = problems.length === 0;
  return (
    <Dialog
      open
      onClose={onClose}
      title={done || failure ? t.verify : t.verifying}
      description={t.verifyBody}
      footer={
        (done || failure) && (
          <Button icon={RotateCw} onClick={() => setRound((one) => one + 1)}>
            {t.again}
          </Button>
        )
      }
    >
      <div className="space-y-4" aria-live="polite">
        {failure && (
          <FormFailure>
            {t.verifyFailed}: {failure}
          </FormFailure>
        )}
        {!done && !failure && (
          <div>
            <progress aria-label={t.verifying} value={head > 0n ? Number(progress.to) : undefined} max={head > 0n ? Number(head) : undefined} className="h-1.5 w-full accent-(--info)" />
            <p className="mt-1 text-xs text-muted tabular">{t.progress(number(checked), head > 0n ? number(head) : "…")}</p>
          </div>
        )}
        {done && (
          <div className={`flex items-start gap-3 rounded-lg px-4 py-3 ${whole ? "bg-ok-wash text-ok-ink" : "bg-bad-wash text-bad-ink"}`}>
            {whole ? <ShieldCheck size={18} aria-hidden className="mt-0.5 shrink-0" /> : <ShieldAlert size={18} aria-hidden className="mt-0.5 shrink-0" />}
            <div className="min-w-0">
              <p className="font-medium">{whole ? t.intact(number(checked)) : t.broken(problems.length)}</p>
              {begins > 1n && <p className="mt-0.5 text-xs">{t.older(number(begins))}</p>}
            </div>
          </div>
        )}
        {problems.length > 0 && (
          <ul className="divide-y divide-line-soft rounded-md border text-sm">
            {problems.map((problem, index) => (
              <li key={index} className="px-3 py-2">
                <p className="font-medium">
                  {problem.position > 0n ? t.atPosition(number(problem.position)) : t.wholeChain} <code className="ml-1 font-mono text-xs text-subtle">{problem.kind}</code>
                </p>
                <p className="text-muted">{problem.message}</p>
              </li>
            ))}
          </ul>
        )}
        {done && anchor.data && anchor.data.position > 0n && (
          <section>
            <h3 className="text-sm font-medium">{t.anchor}</h3>
            <p className="mb-2 text-xs text-muted">
              {t.anchorBody} {anchor.data.at && dateTime(anchor.data.at)}
            </p>
            <CopyBox text={anchorText(anchor.data)} label={t.anchor} />
          </section>
        )}
      </div>
    </Dialog>
  );
}
