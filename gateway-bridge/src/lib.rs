//! The gateway-bridge role: gateways and the sessions kept to them.

pub mod session;
