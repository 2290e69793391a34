//! Events: what a change tells the world.

use prost::{Message, Name};
use prost_types::Any;
use proto::event::v1::Event;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Error, Result, identity::Caller, timestamp};

/// An event in the making; [`crate::store::Tx::record`] adds who, when and in which request.
#[derive(Clone, Debug)]
pub struct Change {
    event: Event,
}

impl Change {
    /// `kind` is `subject.verb` (`task.created`), in an organization.
    pub fn new(kind: &str, organization: Uuid) -> Self {
        Self {
            event: Event {
                id: Uuid::now_v7().to_string(),
                r#type: kind.to_owned(),
                organization_id: organization.to_string(),
                ..Event::default()
            },
        }
    }

    /// Uses an id that exists already (a comment and its event share one).
    #[must_use]
    pub fn id(mut self, id: Uuid) -> Self {
        self.event.id = id.to_string();
        self
    }

    /// The board concerned.
    #[must_use]
    pub fn board(mut self, id: Uuid) -> Self {
        self.event.board_id = id.to_string();
        self
    }

    /// The task concerned.
    #[must_use]
    pub fn task(mut self, id: Uuid) -> Self {
        self.event.task_id = id.to_string();
        self
    }

    /// The agent concerned.
    #[must_use]
    pub fn agent(mut self, id: Option<Uuid>) -> Self {
        self.event.agent_id = id.map(|id| id.to_string()).unwrap_or_default();
        self
    }

    /// The gateway concerned.
    #[must_use]
    pub fn gateway(mut self, id: Uuid) -> Self {
        self.event.gateway_id = id.to_string();
        self
    }

    /// The operation whose outcome this tells.
    #[must_use]
    pub fn operation(mut self, id: Uuid) -> Self {
        self.event.operation_id = id.to_string();
        self
    }

    /// The sentence of the activity feed.
    #[must_use]
    pub fn message(mut self, text: impl Into<String>) -> Self {
        self.event.message = text.into();
        self
    }

    /// The resource before.
    #[must_use]
    pub fn before<M: Message + Name>(mut self, resource: &M) -> Self {
        self.event.before = Some(pack(resource));
        self
    }

    /// The resource after.
    #[must_use]
    pub fn after<M: Message + Name>(mut self, resource: &M) -> Self {
        self.event.after = Some(pack(resource));
        self
    }

    /// The complete event, caused by a caller now.
    pub fn into_event(mut self, caller: &Caller) -> Event {
        self.event.actor = Some(caller.actor());
        self.event.request_id = caller.request_id.to_string();
        self.event.traceparent = caller.traceparent.to_string();
        self.event.time = Some(timestamp(OffsetDateTime::now_utc()));
        self.event
    }
}

/// An event as a row of the outbox, for the statement that writes it.
pub struct OutboxRow<'a> {
    pub id: Uuid,
    pub event_type: &'a str,
    pub event: Vec<u8>,
}

impl<'a> OutboxRow<'a> {
    /// The row of a complete event. Fails for an id that is not one, which this code does not make.
    pub fn of(event: &'a Event) -> Result<Self> {
        Ok(Self {
            id: Uuid::parse_str(&event.id).map_err(Error::internal)?,
            event_type: &event.r#type,
            event: event.encode_to_vec(),
        })
    }
}

/// A resource in an envelope field.
pub fn pack<M: Message + Name>(resource: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: resource.encode_to_vec(),
    }
}

/// The resource of an envelope field, if it is of this type.
pub fn unpack<M: Message + Name + Default>(any: Option<&Any>) -> Option<M> {
    let any = any?;
    (any.type_url.rsplit('/').next() == Some(M::full_name().as_str())).then(|| M::decode(&*any.value).ok())?
}
