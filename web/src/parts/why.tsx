// Answers why something was refused: what is missing, and who can give it.
import { useQuery } from "@tanstack/react-query";
import { useLocation } from "wouter";
import type { Refused } from "@/lib/why";
import access from "@/texts/en/access";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { QueryView, Skeleton } from "@/ui/states";
import { accessQuery, Because } from "./verdict";

const t = texts("access", access);
const words = texts("ui", ui);

/** The dialog. */
export default function Why({ refused, onClose }: { refused: Refused; onClose: () => void }) {
  const verdict = useQuery(accessQuery({ method: refused.method, boardId: refused.boardId }));
  const [, go] = useLocation();
  return (
    <Dialog
      open
      light
      onClose={onClose}
      title={t.whyTitle}
      size="sm"
      footer={
        <>
          <Button
            variant="ghost"
            onClick={() => {
              onClose();
              go(`/organization/access${refused.boardId ? `?board=${refused.boardId}` : ""}`);
            }}
          >
            {t.whole}
          </Button>
          <Button variant="primary" onClick={onClose}>
            {words.close}
          </Button>
        </>
      }
    >
      <QueryView query={verdict} skeleton={<Skeleton lines={2} />}>
        {(data) => (
          <div className="space-y-2 text-sm">
            <p className="font-medium">{data.allowed ? t.letThrough : t.notLet}</p>
            {data.allowed ? (
              refused.said && (
                <p className="text-muted">
                  {t.said} {refused.said}
                </p>
              )
            ) : (
              <p className="text-muted">
                <Because verdict={data} />
              </p>
            )}
            <code className="block font-mono text-2xs break-all text-subtle">{data.method.replace(/^\//, "")}</code>
          </div>
        )}
      </QueryView>
    </Dialog>
  );
}
