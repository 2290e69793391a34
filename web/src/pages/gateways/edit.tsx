import { useQuery } from "@tanstack/react-query";
import { useLocation, useParams } from "wouter";
import type { Gateway } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { GatewayForm } from "@/parts/gateway-form";
import gateways from "@/texts/en/gateways";
import { texts } from "@/texts/catalogue";
import { Card, Page } from "@/ui/page";
import { QueryView } from "@/ui/states";
import { gatewayQuery } from "./queries";

const t = texts("gateways", gateways);

/** Adds a gateway, or changes one. */
export default function EditGateway() {
  const { gatewayId } = useParams();
  const [, go] = useLocation();
  const done = (gateway: Gateway) => go(`/gateways/${gateway.id}`);
  const above = [{ label: t.gateways, to: "/gateways" }];
  if (!gatewayId) {
    return (
      <Page title={t.new} above={above}>
        <Card>
          <GatewayForm onDone={done} />
        </Card>
      </Page>
    );
  }
  return <Change gatewayId={gatewayId} above={above} onDone={done} />;
}

function Change({ gatewayId, above, onDone }: { gatewayId: string; above: { label: string; to: string }[]; onDone: (gateway: Gateway) => void }) {
  const gateway = useQuery(gatewayQuery(gatewayId));
  return (
    <Page title={t.edit} above={[...above, { label: gateway.data?.name ?? "…", to: `/gateways/${gatewayId}` }]}>
      <Card>
        <QueryView query={gateway}>{(data) => <GatewayForm key={data.id} gateway={data} onDone={onDone} />}</QueryView>
      </Card>
    </Page>
  );
}
