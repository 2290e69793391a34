//! What tests stand on: databases of their own, a scripted gateway, a git server. Never part of the product.

pub mod database;
pub mod gateway;
pub mod git;

pub use database::{Database, database};
