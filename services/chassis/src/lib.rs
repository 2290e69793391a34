//! What every service stands on: settings, errors, identity, the store with its outbox, the bus, calls between services, telemetry and
//! the server.

use time::OffsetDateTime;

pub mod access;
pub mod bus;
pub mod channel;
pub mod egress;
pub mod error;
pub mod etag;
pub mod idempotency;
pub mod identity;
pub mod live;
pub mod message;
pub mod outbox;
pub mod relay;
pub mod role;
pub mod seal;
pub mod server;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod unchanged;

pub use error::{Error, Result};
pub use identity::Caller;
pub use outbox::Change;
pub use role::{Context, Role};
pub use store::{Schema, Store, Tx};

/// A moment as protobuf has it.
pub fn timestamp(at: OffsetDateTime) -> prost_types::Timestamp {
    // PostgreSQL keeps microseconds: rounding here keeps what is answered equal to what is read later.
    prost_types::Timestamp {
        seconds: at.unix_timestamp(),
        nanos: i32::try_from(at.microsecond() * 1000).unwrap_or(0),
    }
}

/// A protobuf moment as PostgreSQL keeps it.
pub fn moment(at: &prost_types::Timestamp) -> Result<OffsetDateTime> {
    let nanos = i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| Error::invalid("time", "The time is out of range."))
}
