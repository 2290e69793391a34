//! Behaviour through the public doors: every role in one process, a database of its own per test, REST, gRPC and gRPC-web as users use them.

mod agents;
mod approvals;
mod board;
mod board_plans;
mod comment_feed;
mod custom_fields;
mod edge;
mod etags;
mod explain;
mod faults;
mod gateway_sessions;
mod gateways;
mod groups;
mod harness;
mod inbound;
mod isolation;
mod onboarding;
mod org;
mod path;
mod skills;
mod souls;
mod task_streams;
mod tasks;
mod webhooks;
