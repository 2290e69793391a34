//! Operators' commands about the audit trail: checking it, writing down its ends, and making anew what is derived from it.

use std::{io::Write, path::PathBuf};

use activity::audit::{self, Anchor};
use anyhow::{Context, ensure};
use chassis::{Store, seal::Sealer, settings::Settings};
use clap::Subcommand;
use transcoder::Catalog;
use uuid::Uuid;

/// What to do with the audit trail.
#[derive(Subcommand)]
pub enum Audit {
    /// Checks every entry of every organization against the hash chain and its signed end. Fails when something is wrong.
    Verify {
        /// Only this organization.
        #[arg(long)]
        organization: Option<Uuid>,
        /// A file that `audit anchors` wrote earlier: shows whether the trail was cut or made anew since.
        #[arg(long)]
        anchors: Option<PathBuf>,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Prints the signed ends of all chains, one JSON object a line: keep them where this database's administrators cannot write.
    Anchors(Box<Settings>),
    /// Makes what the dashboard and the inbox read anew from the trail.
    Rebuild {
        /// Only this organization.
        #[arg(long)]
        organization: Option<Uuid>,
        #[command(flatten)]
        settings: Box<Settings>,
    },
}

/// Runs one.
pub async fn run(action: Audit) -> anyhow::Result<()> {
    match action {
        Audit::Verify {
            organization,
            anchors,
            settings,
        } => {
            let kept = match anchors {
                Some(path) => read(&path)?,
                None => Vec::new(),
            };
            verify(&settings, organization, &kept).await
        }
        Audit::Anchors(settings) => {
            let mut out = std::io::stdout().lock();
            for anchor in audit::anchors(&store(&settings)?, None).await? {
                writeln!(out, "{}", serde_json::to_string(&anchor)?)?;
            }
            Ok(())
        }
        Audit::Rebuild { organization, settings } => {
            let (store, catalog) = (store(&settings)?, Catalog::compile(proto::DESCRIPTORS)?);
            for organization in chosen(&store, organization).await? {
                let count = activity::rebuild(&store, &catalog, organization).await?;
                println!("{organization}: made anew from {count} entries");
            }
            Ok(())
        }
    }
}

fn store(settings: &Settings) -> anyhow::Result<Store> {
    ensure!(
        !settings.database_url.is_empty(),
        "DATABASE_URL is not set: whose audit trail?"
    );
    Ok(Store::open(&settings.database_url, activity::SCHEMA, 2)?)
}

async fn chosen(store: &Store, organization: Option<Uuid>) -> anyhow::Result<Vec<Uuid>> {
    Ok(match organization {
        Some(organization) => vec![organization],
        None => audit::organizations(store).await?,
    })
}

fn read(path: &std::path::Path) -> anyhow::Result<Vec<Anchor>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    text.lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty())
        .map(|(line, number)| {
            serde_json::from_str(line).with_context(|| format!("{}:{number} is no anchor", path.display()))
        })
        .collect()
}

/// Checks the chains and says what is wrong with them; an error when something is.
async fn verify(settings: &Settings, organization: Option<Uuid>, kept: &[Anchor]) -> anyhow::Result<()> {
    let sealer = Sealer::new(&settings.secret_key);
    let store = store(settings)?;
    let mut organizations = chosen(&store, organization).await?;
    // An organization of which nothing is left but an anchor.
    for anchor in kept {
        if organization.is_none_or(|wanted| wanted == anchor.organization_id)
            && !organizations.contains(&anchor.organization_id)
        {
            organizations.push(anchor.organization_id);
        }
    }
    let mut wrong = 0;
    for organization in organizations {
        let own: Vec<Anchor> = kept
            .iter()
            .filter(|anchor| anchor.organization_id == organization)
            .cloned()
            .collect();
        let report = audit::verify(&store, &sealer, organization, 0, None, &own).await?;
        let result = if report.findings.is_empty() {
            "intact"
        } else {
            "NOT INTACT"
        };
        println!(
            "{organization}: {result}, {} of {} entries checked, {} anchors",
            report.checked,
            report.head_position,
            own.len()
        );
        for finding in &report.findings {
            println!("  {} {}: {}", finding.position, finding.kind, finding.message);
        }
        wrong += usize::from(!report.findings.is_empty());
    }
    ensure!(wrong == 0, "the audit trail of {wrong} organizations is not intact");
    Ok(())
}
