//! What tests stand on: databases of their own and a scripted gateway. Never part of the product.

pub mod database;
pub mod gateway;

pub use database::{Database, database};
