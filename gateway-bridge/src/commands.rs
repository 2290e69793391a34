//! Names of the gateway protocol, as every supported release lists them in its hello.

use proto::gateway::v1::GatewayCommands;

/// Newest protocol that the sessions speak.
const PROTOCOL: i32 = 4;

/// Methods that both protocol 3 and 4 have, and the two of protocol 4 that replace HEARTBEAT.md.
const METHODS: &[&str] = &[
    "health", "doctor.memory.status", "logs.tail", "channels.status", "channels.logout", "status", "usage.status",
    "usage.cost", "tts.status", "tts.providers", "tts.enable", "tts.disable", "tts.convert", "tts.setProvider",
    "config.get", "config.set", "config.apply", "config.patch", "config.schema", "exec.approvals.get",
    "exec.approvals.set", "exec.approvals.node.get", "exec.approvals.node.set", "exec.approval.request",
    "exec.approval.waitDecision", "exec.approval.resolve", "wizard.start", "wizard.next", "wizard.cancel",
    "wizard.status", "talk.config", "talk.mode", "models.list", "tools.catalog", "agents.list", "agents.create",
    "agents.update", "agents.delete", "agents.files.list", "agents.files.get", "agents.files.set", "skills.status",
    "skills.bins", "skills.install", "skills.update", "update.run", "voicewake.get", "voicewake.set",
    "secrets.reload", "sessions.list", "sessions.preview", "sessions.patch", "sessions.reset", "sessions.delete",
    "sessions.compact", "last-heartbeat", "set-heartbeats", "wake", "node.pair.list", "node.pair.approve",
    "node.pair.reject", "device.pair.list", "device.pair.approve", "device.pair.reject", "device.pair.remove",
    "device.token.rotate", "device.token.revoke", "node.rename", "node.list", "node.describe", "node.invoke",
    "node.invoke.result", "node.event", "cron.list", "cron.status", "cron.add", "cron.update", "cron.remove",
    "cron.run", "cron.runs", "system-presence", "system-event", "send", "agent", "agent.identity.get", "agent.wait",
    "browser.request", "chat.history", "chat.abort", "cron.scratch.get", "cron.scratch.set", "chat.send",
];

/// Events.
const EVENTS: &[&str] = &[
    "connect.challenge", "agent", "chat", "presence", "tick", "talk.mode", "shutdown", "health", "heartbeat", "cron",
    "node.pair.requested", "node.pair.resolved", "node.invoke.request", "device.pair.requested",
    "device.pair.resolved", "voicewake.changed", "exec.approval.requested", "exec.approval.resolved",
    "update.available",
];

/// The names.
pub fn known() -> GatewayCommands {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    GatewayCommands { protocol_version: PROTOCOL, methods: owned(METHODS), events: owned(EVENTS) }
}
