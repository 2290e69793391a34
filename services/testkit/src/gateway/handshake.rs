//! Challenge and `connect`: checks what a real gateway checks, in the same order.

use std::sync::{Arc, atomic::Ordering};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_tungstenite::tungstenite::{
    Error, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use uuid::Uuid;

use super::{
    Inner, Release,
    state::{Pending, now_ms},
};

/// Who is connected.
pub(super) struct Peer {
    pub(super) scopes: Vec<String>,
}

/// Why a connect is refused.
struct Refusal {
    error: Value,
    close: u16,
}

/// A self-signed certificate and its fingerprint.
pub(super) fn tls() -> (tokio_rustls::TlsAcceptor, String) {
    let certified = rcgen::generate_simple_self_signed(vec!["openclaw-gateway".to_owned()]).expect("a certificate");
    let der = certified.cert.der().clone();
    let fingerprint = hex::encode(Sha256::digest(&der));
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![der], key)
        .expect("a server configuration");
    (tokio_rustls::TlsAcceptor::from(Arc::new(config)), fingerprint)
}

/// Runs the handshake; `None` when the connection ended with it.
pub(super) async fn run<K, T>(inner: &Inner, sink: &mut K, stream: &mut T) -> Option<Peer>
where
    K: Sink<Message, Error = Error> + Unpin,
    T: Stream<Item = Result<Message, Error>> + Unpin,
{
    let nonce = Uuid::new_v4().to_string();
    let challenge = json!({"type": "event", "event": "connect.challenge", "payload": {"nonce": nonce, "ts": now_ms()}});
    sink.send(Message::text(challenge.to_string())).await.ok()?;
    let text = loop {
        match stream.next().await? {
            Ok(Message::Text(text)) => break text,
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    };
    let frame: Value = serde_json::from_str(text.as_str()).ok()?;
    let id = frame.get("id").and_then(Value::as_str).unwrap_or("invalid").to_owned();
    let params = frame.get("params").cloned().unwrap_or_default();
    let checked = if frame.get("method").and_then(Value::as_str) == Some("connect") {
        check(inner, &params, &nonce)
    } else {
        Err(refuse(
            inner,
            "invalid handshake: first request must be connect",
            Value::Null,
        ))
    };
    match checked {
        Ok((scopes, device_token)) => {
            let hello = hello(inner, &scopes, device_token);
            let answer = json!({"type": "res", "id": id, "ok": true, "payload": hello});
            sink.send(Message::text(answer.to_string())).await.ok()?;
            Some(Peer { scopes })
        }
        Err(refusal) => {
            let reason: String = refusal.error["message"]
                .as_str()
                .unwrap_or_default()
                .chars()
                .take(120)
                .collect();
            let answer = json!({"type": "res", "id": id, "ok": false, "error": refusal.error});
            sink.send(Message::text(answer.to_string())).await.ok()?;
            let close = CloseFrame {
                code: CloseCode::from(refusal.close),
                reason: reason.into(),
            };
            let _ = sink.send(Message::Close(Some(close))).await;
            None
        }
    }
}

/// A refusal; the floor release sends no details.
fn refuse(inner: &Inner, message: &str, details: Value) -> Refusal {
    let mut error = json!({"code": "INVALID_REQUEST", "message": message});
    if !details.is_null() && inner.options.release != Release::Floor {
        error["details"] = details;
    }
    Refusal { error, close: 1008 }
}

type Granted = (Vec<String>, Option<String>);

fn check(inner: &Inner, params: &Value, nonce: &str) -> Result<Granted, Refusal> {
    let no = |message: &str, details: Value| refuse(inner, message, details);
    let release = inner.options.release;
    let text = |pointer: &str| params.pointer(pointer).and_then(Value::as_str).unwrap_or_default();

    let known = [
        "minProtocol",
        "maxProtocol",
        "role",
        "scopes",
        "client",
        "auth",
        "device",
        "caps",
    ];
    if let Some(key) = params
        .as_object()
        .and_then(|o| o.keys().find(|key| !known.contains(&key.as_str())))
    {
        return Err(no(
            &format!("invalid connect params: at root: unexpected property '{key}'"),
            Value::Null,
        ));
    }
    let ours = if release.is_latest() { 4 } else { 3 };
    let bound = |key: &str| params.get(key).and_then(Value::as_u64).unwrap_or_default();
    if !(bound("minProtocol")..=bound("maxProtocol")).contains(&ours) {
        let details = json!({"code": "PROTOCOL_MISMATCH", "expectedProtocol": ours});
        return Err(Refusal {
            close: 1002,
            ..no("protocol mismatch", details)
        });
    }
    if (text("/client/id"), text("/client/mode")) != ("gateway-client", "backend") {
        let message = "invalid connect params: at /client/id: must be equal to one of the allowed values";
        return Err(no(message, Value::Null));
    }
    if text("/role") != "operator" {
        return Err(no("invalid role", Value::Null));
    }
    if inner
        .starting
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
        .is_ok()
    {
        let error = json!({"code": "UNAVAILABLE", "message": "gateway is starting", "retryable": true,
            "retryAfterMs": 50, "details": {"reason": "startup-sidecars"}});
        return Err(Refusal { error, close: 1013 });
    }
    let scopes: Vec<String> = params
        .get("scopes")
        .and_then(|s| serde_json::from_value(s.clone()).ok())
        .unwrap_or_default();
    let token = text("/auth/token");
    let device = params.get("device").filter(|device| !device.is_null());
    if let Some(device) = device {
        signature(inner, params, device, nonce, &scopes, token)?;
    }
    let device_id = text("/device/id");
    let mut state = inner.state.lock();
    let known_device = state.paired.get(device_id).is_some_and(|paired| paired.token == token);
    if token.is_empty() {
        let details = json!({"code": "AUTH_TOKEN_MISSING", "authReason": "token_missing"});
        return Err(no(
            "unauthorized: gateway token missing (provide gateway auth token)",
            details,
        ));
    }
    if token != inner.options.token && !known_device {
        let details = json!({"code": "AUTH_TOKEN_MISMATCH", "authReason": "token_mismatch"});
        return Err(no(
            "unauthorized: gateway token mismatch (provide gateway auth token)",
            details,
        ));
    }
    if device.is_none() {
        // Remote clients without a device get everything on older releases and nothing on the latest.
        let granted = if inner.options.pairing_required && release.is_latest() {
            Vec::new()
        } else {
            scopes
        };
        return Ok((inner.options.granted_scopes.clone().unwrap_or(granted), None));
    }
    let platform = text("/client/platform").to_owned();
    let mut device_token = None;
    if inner.options.pairing_required {
        let reason = match state.paired.get(device_id) {
            None => Some("not-paired"),
            Some(paired) if paired.platform != platform => Some("metadata-upgrade"),
            Some(paired) => {
                device_token = Some(paired.token.clone());
                None
            }
        };
        if let Some(reason) = reason {
            let request_id = state.request_pairing(Pending {
                device_id: device_id.to_owned(),
                platform,
            });
            let mut error = json!({"code": "NOT_PAIRED", "message": "pairing required"});
            if release != Release::Floor {
                error["details"] = json!({"code": "PAIRING_REQUIRED", "requestId": request_id, "reason": reason});
            }
            return Err(Refusal { error, close: 1008 });
        }
    }
    Ok((inner.options.granted_scopes.clone().unwrap_or(scopes), device_token))
}

fn signature(
    inner: &Inner,
    params: &Value,
    device: &Value,
    nonce: &str,
    scopes: &[String],
    token: &str,
) -> Result<(), Refusal> {
    let text = |key: &str| device.get(key).and_then(Value::as_str).unwrap_or_default();
    let no = |message: &str, code: &str, reason: &str| {
        let code = if inner.options.release.is_latest() {
            code
        } else {
            "DEVICE_AUTH_INVALID"
        };
        refuse(inner, message, json!({"code": code, "reason": reason}))
    };
    if text("nonce") != nonce {
        return Err(no(
            "device nonce mismatch",
            "DEVICE_AUTH_NONCE_MISMATCH",
            "device-nonce-mismatch",
        ));
    }
    let signed_at = device.get("signedAt").and_then(Value::as_i64).unwrap_or_default();
    if (now_ms() - signed_at).abs() > 120_000 {
        return Err(no(
            "device signature expired",
            "DEVICE_AUTH_SIGNATURE_EXPIRED",
            "device-signature-stale",
        ));
    }
    let client = |key: &str| {
        params
            .pointer(&format!("/client/{key}"))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let message = format!(
        "v2|{}|{}|{}|operator|{}|{signed_at}|{token}|{nonce}",
        text("id"),
        client("id"),
        client("mode"),
        scopes.join(","),
    );
    let verified = || {
        let public: [u8; 32] = URL_SAFE_NO_PAD.decode(text("publicKey")).ok()?.try_into().ok()?;
        let signature: [u8; 64] = URL_SAFE_NO_PAD.decode(text("signature")).ok()?.try_into().ok()?;
        if hex::encode(Sha256::digest(public)) != text("id") {
            return None;
        }
        let key = VerifyingKey::from_bytes(&public).ok()?;
        key.verify(message.as_bytes(), &Signature::from_bytes(&signature)).ok()
    };
    verified().ok_or_else(|| {
        no(
            "device signature invalid",
            "DEVICE_AUTH_SIGNATURE_INVALID",
            "device-signature",
        )
    })
}

fn hello(inner: &Inner, scopes: &[String], device_token: Option<String>) -> Value {
    let release = inner.options.release;
    let version = inner.options.version.as_deref().unwrap_or(release.version());
    let mut server = json!({"version": version, "connId": Uuid::new_v4().to_string()});
    if release.is_latest() {
        server["bootId"] = json!(format!("boot-{}", inner.boots.load(Ordering::SeqCst)));
    }
    let mut auth = json!({"role": "operator", "scopes": scopes});
    if let Some(token) = device_token {
        auth["deviceToken"] = json!(token);
        auth["issuedAtMs"] = json!(now_ms());
    }
    json!({
        "type": "hello-ok",
        "protocol": if release.is_latest() { 4 } else { 3 },
        "server": server,
        "features": {"methods": super::methods::advertised(release), "events": ["tick", "chat", "agent", "health"]},
        "snapshot": {
            "presence": [],
            "health": {"ok": true, "channels": {}, "channelOrder": []},
            "stateVersion": {"presence": 1, "health": 1},
            "uptimeMs": 1,
            "sessionDefaults": {"defaultAgentId": "main", "mainKey": "main", "mainSessionKey": "agent:main:main"},
            "authMode": "token",
        },
        "auth": auth,
        "policy": {
            "maxPayload": inner.max_payload(),
            "maxBufferedBytes": 52_428_800,
            "tickIntervalMs": u64::try_from(inner.options.tick_interval.as_millis()).unwrap_or(30_000),
        },
    })
}
