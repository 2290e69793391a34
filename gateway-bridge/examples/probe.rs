//! Drives a real gateway through everything that Mission Control needs of one.
//!
//! `cargo run -p gateway-bridge --example probe -- ws://127.0.0.1:18789 TOKEN [WORKSPACE_ROOT]`

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use gateway_bridge::session::{
    AgentSpec, Device, Gateway, Heartbeat, SessionOptions, Target, TlsPolicy, WorkspaceFile, preflight,
};

const DEADLINE: Duration = Duration::from_mins(3);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(token)) = (arguments.next(), arguments.next()) else {
        return Err("usage: probe URL TOKEN [WORKSPACE_ROOT]".into());
    };
    let root = match arguments.next() {
        Some(root) => root,
        None => std::env::temp_dir().join("probe-workspaces").display().to_string(),
    };
    let target = Target {
        url: url.parse()?,
        token: Some(token.into()),
        device: Some(Arc::new(Device::generate())),
        device_token: None,
        tls: TlsPolicy::AcceptAny,
    };
    println!("# preflight");
    let hello = preflight(&target, &mut |step| {
        println!("{:?} {:?} {:?} {}", step.step, step.outcome, step.duration, step.detail);
        if let Some(failure) = step.failure {
            println!("    {}: {}", failure.kind.as_str(), failure.remedy);
        }
    })
    .await?;
    println!("protocol {}, {} methods", hello.protocol, hello.methods.len());

    let gateway = Gateway::start(target, SessionOptions::default());
    println!("# profile {:?}", gateway.profile().await?);

    println!("# three agents at once");
    let began = Instant::now();
    let tag = std::process::id();
    let specs: Vec<_> = (0..3)
        .map(|n| AgentSpec {
            id: format!("mc-probe-{tag}-{n}"),
            name: format!("Probe {n}"),
            workspace: format!("{root}/workspace-{tag}-{n}"),
            heartbeat: Some(Heartbeat::every("10m")),
        })
        .collect();
    let ensured = futures::future::join_all(specs.iter().map(|spec| gateway.ensure_agent(spec, DEADLINE))).await;
    for (spec, outcome) in specs.iter().zip(ensured) {
        println!("{} {:?}", spec.id, outcome?);
    }
    println!("took {:?}", began.elapsed());
    let agents = gateway.list_agents().await?;
    assert!(
        specs.iter().all(|spec| agents.iter().any(|agent| agent.id == spec.id)),
        "an agent got lost"
    );
    let again = Instant::now();
    println!(
        "again {:?} in {:?}",
        gateway.ensure_agent(&specs[0], DEADLINE).await?,
        again.elapsed()
    );

    println!("# files");
    let file = |name: &str, content: &str| WorkspaceFile {
        name: name.to_owned(),
        content: content.to_owned().into(),
        keep_existing: false,
    };
    let files = [
        file("AGENTS.md", "# AGENTS\nYou are a probe.\n"),
        file("TOOLS.md", "- `BASE_URL=http://127.0.0.1:1`\n"),
        file("HEARTBEAT.md", "Check in.\n"),
        file("SOUL.md", "# SOUL\n"),
        file("IDENTITY.md", "# IDENTITY\n"),
        file("NONSENSE.md", "x"),
    ];
    let id = specs[0].id.as_str();
    println!("{:?}", gateway.set_files(id, &files).await?);
    println!("{:?}", gateway.set_files(id, &files).await?);
    for name in ["AGENTS.md", "TOOLS.md", "HEARTBEAT.md"] {
        let content = gateway.get_file(id, name).await?;
        println!(
            "{name}: {} bytes",
            content.map_or(0, |text| secrecy::ExposeSecret::expose_secret(&text).len())
        );
    }
    println!("{} files listed", gateway.list_files(id).await?.len());

    println!("# chat");
    let key = format!("agent:{id}:main");
    gateway.label_session(&key, "Probe 0").await?;
    let mut events = gateway.session().events();
    let run = uuid::Uuid::now_v7().to_string();
    let began = Instant::now();
    println!(
        "{:?}",
        gateway.chat_send(&key, "EXEC: echo it-runs", &run, false).await?
    );
    println!(
        "{:?}",
        gateway.chat_send(&key, "EXEC: echo it-runs", &run, false).await?
    );
    println!(
        "{:?} after {:?}",
        gateway.await_run(&mut events, &run, DEADLINE).await?,
        began.elapsed()
    );
    for message in gateway.chat_history(&key, 20).await? {
        println!(
            "  {}: {:?}",
            message.role,
            message.text.chars().take(70).collect::<String>()
        );
    }
    println!("{} sessions", gateway.list_sessions().await?.len());
    gateway.reset_session(&key).await?;

    println!("# delete");
    for spec in &specs {
        println!("{} {}", spec.id, gateway.delete_agent(&spec.id, DEADLINE).await?);
    }
    println!("again {}", gateway.delete_agent(id, DEADLINE).await?);
    println!("{} agents left", gateway.list_agents().await?.len());
    gateway.session().stop(Duration::from_secs(2)).await;
    Ok(())
}
