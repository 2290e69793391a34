// A gateway in trouble: the walk to it, with what helps, without leaving the inbox.
import { PlugZap } from "lucide-react";
import { useEffect } from "react";
import { PreflightView, usePreflight } from "@/parts/preflight";
import inbox from "@/texts/en/inbox";
import parts from "@/texts/en/parts";
import { texts } from "@/texts/catalogue";
import { Button, LinkButton } from "@/ui/button";
import { Dialog } from "@/ui/dialog";

const t = texts("inbox", inbox);
const p = texts("parts", parts);

/** Begins at once; what is mended leaves the inbox by itself. */
export default function Check({ gatewayId, name, onClose }: { gatewayId: string; name: string; onClose: () => void }) {
  const preflight = usePreflight();
  const { walk } = preflight;
  const look = () => void walk({ gatewayId }).catch(() => undefined);
  useEffect(() => {
    void walk({ gatewayId }).catch(() => undefined);
  }, [walk, gatewayId]);
  return (
    <Dialog
      open
      onClose={onClose}
      title={t.checkTitle(name)}
      description={p.preflight.lead}
      footer={
        <>
          <LinkButton variant="ghost" to={`/gateways/${gatewayId}`}>
            {t.openGateway}
          </LinkButton>
          <Button variant="primary" icon={PlugZap} busy={preflight.running} onClick={look}>
            {p.preflight.again}
          </Button>
        </>
      }
    >
      <PreflightView preflight={preflight} onAgain={look} />
    </Dialog>
  );
}
