//! The roles put together: the constellation in one process or in many, and the tools of its operators.

pub mod admin;
pub mod audit;
pub mod constellation;
pub mod doctor;
pub mod health;
pub mod postgres;
pub mod up;

use chassis::Schema;

/// Every schema, in the order they are migrated.
pub const SCHEMAS: [Schema; 6] = [
    org::SCHEMA,
    board::SCHEMA,
    agent::SCHEMA,
    approval::SCHEMA,
    activity::SCHEMA,
    gateway_bridge::SCHEMA,
];
