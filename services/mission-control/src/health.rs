//! `health`: asks a process of `serve` on this machine how it is, for containers that hold no other program.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use chassis::settings::Settings;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Fails unless the process that listens on `GRPC_LISTEN` says that it serves.
pub async fn run(settings: &Settings) -> anyhow::Result<()> {
    let address = near(settings.grpc_listen);
    let asked = async {
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))?
            .connect()
            .await?;
        let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await?;
        anyhow::Ok(answer.into_inner().status())
    };
    let status = tokio::time::timeout(PATIENCE, asked)
        .await
        .with_context(|| format!("{address} did not answer in {PATIENCE:?}"))??;
    anyhow::ensure!(
        status == ServingStatus::Serving,
        "{address} does not serve: its log says what is missing"
    );
    println!("serving");
    Ok(())
}

/// Where to reach what listens there: the unspecified address is one to listen on only.
fn near(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port())),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn a_wildcard_is_reached_over_loopback() {
        for (listen, reached) in [
            ("0.0.0.0:5100", "127.0.0.1:5100"),
            ("[::]:5100", "[::1]:5100"),
            ("10.0.0.7:5100", "10.0.0.7:5100"),
        ] {
            assert_eq!(near(listen.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
