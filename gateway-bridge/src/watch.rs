//! Live changes of an organization's gateways and connections, built from the events alone.

use std::sync::Arc;

use chassis::{
    Caller, Error, Result,
    live::{Start, now_position},
    outbox::unpack,
};
use futures::{StreamExt as _, stream::BoxStream};
use proto::{
    event::v1::Event,
    gateway::v1::{GatewayEvent, WatchGatewaysRequest},
};
use tonic::Status;

use crate::gateways::Gateways;

/// The changes from where the request begins.
pub async fn watch(
    gateways: &Gateways,
    caller: &Caller,
    request: &WatchGatewaysRequest,
) -> Result<BoxStream<'static, Result<GatewayEvent, Status>>> {
    let organization = caller.organization()?.to_string();
    let start = match Start::of(request.since.as_deref(), request.resume_token.as_deref())? {
        // Now is when this is answered, not when the stream is first looked at.
        Start::Now => Start::After(now_position(&gateways.store).await?),
        start => start,
    };
    let events = gateways.feed.watch(start, move |event| {
        event.organization_id == organization && event.r#type.starts_with("gateway.")
    });
    Ok(events
        .map(|event| event.map(|event| message(&event)).map_err(Error::into))
        .boxed())
}

/// An event as watchers see it.
fn message(event: &Arc<Event>) -> GatewayEvent {
    GatewayEvent {
        id: event.position.to_string(),
        r#type: event.r#type.clone(),
        gateway_id: event.gateway_id.clone(),
        message: event.message.clone(),
        gateway: unpack(event.after.as_ref()),
        connection: unpack(event.after.as_ref()),
        created_at: event.time,
    }
}
