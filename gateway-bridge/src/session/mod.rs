//! The protocol client: one supervised WebSocket session per OpenClaw gateway.
//!
//! This part knows nothing of Mission Control's services. It speaks gateway protocol 3 and 4, as measured on
//! releases 2026.2.9 to 2026.9.6, and offers:
//!
//! - [`dial`]: one connection attempt, step by step (also what preflight streams);
//! - [`Session`]: a supervised connection that reconnects, multiplexes requests and shows its state;
//! - [`Gateway`]: typed operations (agents, files, sessions, chat, config) on top of a session.

mod config;
mod connect;
mod device;
mod failure;
mod files;
mod frame;
mod ops;
mod profile;
mod supervisor;
mod tls;
mod wire;

pub use config::{AgentConfig, ConfigSnapshot, Heartbeat};
pub use connect::{Dialed, Hello, Outcome, REQUIRED_METHODS, SCOPES, Step, StepReport, Target, dial, preflight};
pub use device::{Device, DeviceError};
pub use failure::{Failure, Kind, Retry};
pub use files::{FileInfo, FileWrite, WorkspaceFile};
pub use frame::{ErrorBody, Event};
pub use ops::{
    AgentSpec, AgentSummary, ChatMessage, ChatReceipt, ChatState, ChatUpdate, EnsureOutcome, Gateway, SessionInfo,
};
pub use profile::{Profile, Shape, Version};
pub use supervisor::{Call, Phase, Session, SessionEvent, SessionOptions, SessionState};
pub use tls::{Fingerprint, FingerprintError, TlsPolicy};
