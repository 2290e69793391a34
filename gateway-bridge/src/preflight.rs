//! A look at a gateway before it is used: short for storing one, step by step for people.

use std::time::Duration;

use chassis::{Caller, Error, Result, error::Kind as ErrorKind, identity::optional_uuid};
use futures::{StreamExt as _, stream::BoxStream};
use proto::gateway::v1::{PreflightGatewayRequest, PreflightStep, StepStatus};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use crate::{
    gateways::{Gateways, find},
    rules::{self, TokenChange},
    session::{Failure, Outcome, Step, StepReport, Target, Version, dial, preflight},
    supervisor::tls_policy,
};

/// Longest time for one look at a gateway that is about to be stored.
const LOOK: Duration = Duration::from_secs(5);
/// How long one that says that it is starting is looked at again.
const STARTING: Duration = Duration::from_secs(25);
/// Pause before looking again at a gateway that is just starting.
const SOON: Duration = Duration::from_millis(700);

/// Refuses a gateway that cannot be used as it is configured. One that only wants the device approved is fine.
pub async fn check(target: &Target) -> Result<()> {
    let until = Instant::now() + STARTING;
    loop {
        let failure = match tokio::time::timeout(LOOK, dial(target, &mut |_| {})).await {
            Err(_) => {
                let text = format!(
                    "Gateway check failed: no complete answer within {} s. Check that the address is the gateway's and that it is not \
                     overloaded, then try again.",
                    LOOK.as_secs()
                );
                return Err(Error::new(ErrorKind::Deadline, text));
            }
            Ok(Ok(dialed)) => {
                let missing = dialed.hello.missing_scopes();
                dialed.close().await;
                match rules::fatal_scope(&missing) {
                    Some(scope) => Failure::missing_scope(scope),
                    None => return Ok(()),
                }
            }
            Ok(Err(failure)) => failure,
        };
        if rules::may_store(&failure) {
            return Ok(());
        }
        if !rules::passes_soon(&failure) || Instant::now() + SOON >= until {
            return Err(Error::gateway(format!(
                "Gateway check failed: {}",
                rules::sentence(&failure)
            )));
        }
        tokio::time::sleep(SOON).await;
    }
}

/// Walks to a gateway and tells each step as it begins and ends.
pub async fn walk(
    gateways: &Gateways,
    caller: &Caller,
    request: PreflightGatewayRequest,
) -> Result<BoxStream<'static, Result<PreflightStep, Status>>> {
    let target = target(gateways, caller, &request).await?;
    let minimum = gateways.minimum.clone();
    let (steps, told) = mpsc::unbounded_channel();
    let walking = tokio::spawn(async move {
        let mut next = Step::ALL.iter();
        let begin = |step: Option<&Step>| {
            if let Some(step) = step {
                let _ = steps.send(Ok(PreflightStep {
                    name: step.as_str().to_owned(),
                    status: StepStatus::Running.into(),
                    ..PreflightStep::default()
                }));
            }
        };
        begin(next.next());
        let mut failed = false;
        // The outcome is in the steps.
        let _ = preflight(&target, &mut |report| {
            failed |= report.outcome == Outcome::Failed;
            let _ = steps.send(Ok(step(report, &minimum)));
            let following = next.next();
            if !failed {
                begin(following);
            }
        })
        .await;
    });
    // Whoever stops listening ends the walk.
    let walking = AbortOnDropHandle::new(walking);
    let stream = UnboundedReceiverStream::new(told).map(move |step| {
        let _ = &walking;
        step
    });
    Ok(stream.boxed())
}

fn step(report: StepReport, minimum: &str) -> PreflightStep {
    let old = (report.step == Step::Version && report.outcome == Outcome::Passed)
        .then(|| rules::version_warning(&Version::parse(&report.detail), minimum))
        .flatten();
    let (status, detail, remedy) = match (report.outcome, old) {
        (_, Some(_)) => {
            let detail = format!(
                "{} (older than {minimum}, the oldest fully supported release)",
                report.detail
            );
            (StepStatus::Warning, detail, Some("Upgrade the gateway.".to_owned()))
        }
        (Outcome::Passed, None) => (StepStatus::Passed, report.detail, None),
        (Outcome::Warned, None) => (StepStatus::Warning, report.detail, None),
        (Outcome::Failed, None) => (StepStatus::Failed, report.detail, None),
        (Outcome::Skipped, None) => (StepStatus::Skipped, report.detail, None),
    };
    let failure = report.failure.as_ref();
    PreflightStep {
        name: report.step.as_str().to_owned(),
        status: status.into(),
        detail,
        remedy: remedy.or_else(|| {
            failure
                .map(|failure| failure.remedy.clone())
                .filter(|remedy| !remedy.is_empty())
        }),
        duration_ms: i32::try_from(report.duration.as_millis()).unwrap_or(i32::MAX),
        error_code: failure.map(|failure| rules::error_code(failure.kind)),
        pairing_request_id: failure.and_then(|failure| failure.pairing_request_id.as_deref().map(ToOwned::to_owned)),
        tls_fingerprint: report.fingerprint.map(|print| print.to_string()),
    }
}

/// What to walk to: what is stored, with what the request says on top.
async fn target(gateways: &Gateways, caller: &Caller, request: &PreflightGatewayRequest) -> Result<Target> {
    let organization = caller.organization()?;
    let stored = match optional_uuid(request.gateway_id.as_ref())? {
        Some(id) => Some(find(&gateways.store, Some(organization), id).await?.stored()),
        None => None,
    };
    let Some(url) = request
        .url
        .as_deref()
        .or(stored.as_ref().map(|stored| stored.url.as_str()))
    else {
        return Err(Error::invalid("url", "Say which gateway: gateway_id or url."));
    };
    let url = rules::address(url).map_err(|message| Error::invalid("url", message))?;
    let stored_target = match &stored {
        Some(stored) => Some(gateways.supervisor.target(stored).await?),
        None => None,
    };
    // A stored token only ever goes to the stored address.
    let at_home = stored_target.as_ref().filter(|stored| stored.url == url);
    let token = match TokenChange::of(request.token.as_deref().map(Some)) {
        TokenChange::Set(token) => Some(token.to_owned().into()),
        TokenChange::Clear => None,
        TokenChange::Keep => at_home.and_then(|stored| stored.token.clone()),
    };
    let unpaired = request
        .disable_device_pairing
        .or(stored.as_ref().map(|stored| stored.disable_device_pairing))
        .unwrap_or_default();
    let device = if unpaired {
        None
    } else {
        Some(gateways.supervisor.device(organization).await?)
    };
    let insecure = request
        .allow_insecure_tls
        .or(stored.as_ref().map(|stored| stored.allow_insecure_tls))
        .unwrap_or_default();
    let print = request
        .tls_fingerprint
        .as_deref()
        .or(stored.as_ref().and_then(|stored| stored.tls_fingerprint.as_deref()));
    Ok(Target {
        url,
        token,
        device,
        device_token: at_home.and_then(|stored| stored.device_token.clone()),
        tls: tls_policy(print, insecure)?,
    })
}
