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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_has_a_number_of_its_own() {
        for schema in SCHEMAS {
            let numbers: Vec<i64> = schema.migrations.iter().map(|migration| migration.version).collect();
            assert!(
                numbers.windows(2).all(|pair| pair[0] < pair[1]),
                "{}: {numbers:?}",
                schema.name
            );
        }
    }
}
