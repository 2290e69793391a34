//! The bus, the relay and live feeds, over a real PostgreSQL and a real RabbitMQ.
//!
//! `TEST_DATABASE_URL` is always needed. The RabbitMQ half needs `TEST_AMQP_URL`; without it those tests say that they did nothing, and
//! fail in CI.

mod broker;
mod bus;
mod kill;
mod live;
mod relay;
mod store;
mod support;
mod upgrade;
