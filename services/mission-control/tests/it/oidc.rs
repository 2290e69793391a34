//! Signing in with tokens of an OpenID Connect issuer. The issuer is part of the test.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chassis::settings::{AuthMode, Settings};
use ring::{
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
        RsaKeyPair,
    },
};
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, Request, Respond, ResponseTemplate,
    matchers::{method, path},
};

use crate::harness::{Answer, Harness, TOKEN, eventually};

const AUDIENCE: &str = "mission-control-test";
/// A key that was made for this test and signs nothing else.
const RSA: &str = include_str!("oidc_rsa.b64");

/// Something that signs.
enum Key {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

fn url64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Key {
    fn ec() -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random);
        Self::Ec(pair.expect("a key"))
    }

    fn ed() -> Self {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self::Ed(Ed25519KeyPair::from_pkcs8(made.as_ref()).expect("a key"))
    }

    fn rsa() -> Self {
        let der = STANDARD.decode(RSA.replace('\n', "")).expect("base64");
        Self::Rsa(Box::new(RsaKeyPair::from_pkcs8(&der).expect("a key")))
    }

    fn jwk(&self, id: &str) -> Value {
        let mut jwk = match self {
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": url64(&point[1..33]), "y": url64(&point[33..])})
            }
            Self::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": url64(pair.public_key())}),
            Self::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": url64(public.n), "e": url64(public.e)})
            }
        };
        jwk["kid"] = id.into();
        jwk["use"] = "sig".into();
        jwk
    }

    fn token(&self, algorithm: &str, id: &str, claims: &Value) -> String {
        let header = json!({"alg": algorithm, "kid": id, "typ": "JWT"});
        let text = format!("{}.{}", url64(header.to_string()), url64(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Ec(pair) => pair.sign(&random, text.as_bytes()).expect("signs").as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(text.as_bytes()).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let padding: &'static dyn ring::signature::RsaEncoding = if algorithm == "PS256" {
                    &RSA_PSS_SHA256
                } else {
                    &RSA_PKCS1_SHA256
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, text.as_bytes(), &mut signature)
                    .expect("signs");
                signature
            }
        };
        format!("{text}.{}", url64(signature))
    }
}

/// An issuer with keys that can be changed.
struct Issuer {
    server: MockServer,
    keys: Arc<Mutex<Vec<Value>>>,
}

struct Keys(Arc<Mutex<Vec<Value>>>);

impl Respond for Keys {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ResponseTemplate::new(200).set_body_json(json!({ "keys": keys }))
    }
}

impl Issuer {
    async fn start(keys: Vec<Value>) -> Self {
        let (server, keys) = (MockServer::start().await, Arc::new(Mutex::new(keys)));
        let configuration = json!({"issuer": server.uri(), "jwks_uri": format!("{}/keys", server.uri()),
                                   "token_endpoint": "https://tokens.example.org:8443/oauth/token"});
        Mock::given(method("GET"))
            .and(path("/.well-known/openid-configuration"))
            .respond_with(ResponseTemplate::new(200).set_body_json(configuration))
            .mount(&server)
            .await;
        Mock::given(method("GET"))
            .and(path("/keys"))
            .respond_with(Keys(keys.clone()))
            .mount(&server)
            .await;
        Self { server, keys }
    }

    /// How often the keys were fetched.
    async fn fetched(&self) -> usize {
        let requests = self.server.received_requests().await.expect("requests are kept");
        requests.iter().filter(|request| request.url.path() == "/keys").count()
    }

    fn settings(&self) -> impl FnOnce(&mut Settings) + use<> {
        let issuer = self.server.uri();
        move |settings| {
            settings.auth_mode = AuthMode::Oidc;
            settings.oidc_issuer = issuer;
            settings.oidc_audience = format!("other, {AUDIENCE}");
            settings.oidc_client_id = "page".into();
        }
    }

    fn claims(&self, subject: &str) -> Value {
        let now = now();
        json!({"iss": self.server.uri(), "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 300,
               "email": format!("{subject}@Example.org"), "given_name": "Ada", "family_name": subject})
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
}

async fn me(mc: &Harness, token: &str) -> Answer {
    mc.rest(&[("authorization", &format!("Bearer {token}"))])
        .get("/api/v1/users/me")
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_of_an_issuer_sign_in_with_its_tokens() {
    let keys = [
        ("ec", "ES256", Key::ec()),
        ("ed", "EdDSA", Key::ed()),
        ("rsa", "RS256", Key::rsa()),
        ("rsa", "PS256", Key::rsa()),
    ];
    let issuer = Issuer::start(keys.iter().take(3).map(|(id, _, key)| key.jwk(id)).collect()).await;
    let mc = Harness::with(issuer.settings()).await;
    for (number, (id, algorithm, key)) in keys.iter().enumerate() {
        let subject = format!("user-{number}");
        let user = me(&mc, &key.token(algorithm, id, &issuer.claims(&subject)))
            .await
            .expect(200);
        assert_eq!(
            (&user["clerk_user_id"], &user["email"], &user["name"]),
            (
                &json!(subject),
                &json!(format!("{subject}@example.org")),
                &json!(format!("Ada {subject}"))
            ),
            "{algorithm}"
        );
    }
    assert_eq!(issuer.fetched().await, 1, "keys are kept");

    // What the issuer says later changes the address, never a name; an unverified address counts for nothing.
    let (_, _, key) = &keys[0];
    let mut claims = issuer.claims("user-0");
    claims["email"] = "new@example.org".into();
    claims["name"] = "Another".into();
    let user = me(&mc, &key.token("ES256", "ec", &claims)).await.expect(200);
    assert_eq!(
        (&user["email"], &user["name"]),
        (&json!("new@example.org"), &json!("Ada user-0"))
    );
    claims["email"] = "evil@example.org".into();
    claims["email_verified"] = false.into();
    let user = me(&mc, &key.token("ES256", "ec", &claims)).await.expect(200);
    assert_eq!(user["email"], "new@example.org");

    let config = mc.nobody().get("/api/v1/auth/config").await.expect(200);
    assert_eq!(
        (
            &config["mode"],
            &config["issuer"],
            &config["client_id"],
            &config["scope"]
        ),
        (
            &json!("oidc"),
            &json!(issuer.server.uri()),
            &json!("page"),
            &json!("openid profile email")
        )
    );
    me(&mc, TOKEN).await.detail(401);
    mc.stop().await;

    let mc = Harness::start().await;
    let config = mc.nobody().get("/api/v1/auth/config").await.expect(200);
    assert_eq!((&config["mode"], &config["issuer"]), (&json!("local"), &Value::Null));
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_may_talk_to_where_the_issuer_hands_out_tokens() {
    let issuer = Issuer::start(vec![Key::ec().jwk("one")]).await;
    let mc = Harness::with(issuer.settings()).await;
    let wanted = format!(
        "; connect-src 'self' {} https://tokens.example.org:8443; ",
        issuer.server.uri()
    );
    eventually("the policy naming both origins", || async {
        let page = mc.nobody().get("/").await;
        let policy = page.headers["content-security-policy"].to_str().expect("text");
        policy.contains(&wanted).then_some(())
    })
    .await;
    mc.stop().await;

    // The page does not wait for an issuer that is away, and may talk to it alone.
    let mc = Harness::with(|settings| {
        settings.auth_mode = AuthMode::Oidc;
        settings.oidc_issuer = "http://127.0.0.1:9/tenant".into();
        settings.oidc_audience = AUDIENCE.into();
        settings.oidc_client_id = "page".into();
    })
    .await;
    let page = mc.nobody().get("/").await;
    let policy = page.headers["content-security-policy"].to_str().expect("text");
    assert!(policy.contains("; connect-src 'self' http://127.0.0.1:9; "), "{policy}");
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_not_the_issuers_opens_nothing() {
    let (key, stranger) = (Key::ec(), Key::ec());
    let jwk = key.jwk("one");
    let issuer = Issuer::start(vec![jwk.clone()]).await;
    let mc = Harness::with(issuer.settings()).await;
    let good = issuer.claims("ada");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(name);
        } else {
            claims[name] = value;
        }
        key.token("ES256", "one", &claims)
    };
    let whole = key.token("ES256", "one", &good);
    let [header, body, signature] = whole.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let unsigned = url64(json!({"alg": "none", "kid": "one"}).to_string());
    // The classic: the public key as the secret of an HMAC.
    let secret = {
        use hmac::{Hmac, KeyInit, Mac};
        let text = format!("{}.{body}", url64(json!({"alg": "HS256", "kid": "one"}).to_string()));
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(jwk.to_string().as_bytes()).expect("a key");
        mac.update(text.as_bytes());
        format!("{text}.{}", url64(mac.finalize().into_bytes()))
    };
    for (why, token) in [
        ("of another issuer", with("iss", json!("https://evil.example"))),
        ("without an issuer", with("iss", Value::Null)),
        ("for another audience", with("aud", json!("somebody-else"))),
        ("for nobody", with("aud", Value::Null)),
        ("expired", with("exp", json!(now() - 30))),
        ("without an end", with("exp", Value::Null)),
        ("not valid yet", with("nbf", json!(now() + 60))),
        ("of nobody", with("sub", Value::Null)),
        ("of the local user", with("sub", json!("local-auth-user"))),
        ("of a service account", with("sub", json!("service:x"))),
        ("signed by another key", stranger.token("ES256", "one", &good)),
        ("of another algorithm", key.token("ES384", "one", &good)),
        ("unsigned", format!("{unsigned}.{body}.")),
        ("signed with the public key", secret),
        ("cut", format!("{header}.{body}")),
        (
            "changed",
            format!("{header}.{}.{signature}", url64(with("sub", json!("eve")))),
        ),
        ("nothing", "..".to_owned()),
    ] {
        assert_eq!(me(&mc, &token).await.status, 401, "a token {why}");
    }
    me(&mc, &with("exp", json!(now() - 5))).await.expect(200);
    me(&mc, &with("aud", json!(["x", AUDIENCE]))).await.expect(200);
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_and_the_issuer_is_not_asked_for_every_token() {
    let (old, new) = (Key::ec(), Key::ed());
    let issuer = Issuer::start(vec![old.jwk("old")]).await;
    let mc = Harness::with(issuer.settings()).await;
    me(&mc, &old.token("ES256", "old", &issuer.claims("ada")))
        .await
        .expect(200);
    issuer
        .keys
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(new.jwk("new"));
    me(&mc, &new.token("EdDSA", "new", &issuer.claims("ada")))
        .await
        .expect(200);
    assert_eq!(issuer.fetched().await, 2);
    for unknown in 0..10 {
        let token = new.token("EdDSA", &format!("made-up-{unknown}"), &issuer.claims("eve"));
        assert_eq!(me(&mc, &token).await.status, 401);
    }
    assert_eq!(issuer.fetched().await, 2, "made-up keys cost the issuer nothing");
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_issuer_is_away_nobody_is_called_a_stranger() {
    let key = Key::ec();
    let issuer = Issuer::start(vec![]).await;
    let mc = Harness::with(issuer.settings()).await;
    let token = key.token("ES256", "one", &issuer.claims("ada"));
    let refused = me(&mc, &token).await;
    assert!(refused.headers.contains_key("retry-after"));
    let detail = refused.detail(503);
    assert!(
        detail.as_str().is_some_and(|text| text.contains("identity provider")),
        "{detail}"
    );
    issuer
        .keys
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(key.jwk("one"));
    eventually("the issuer being asked again", || async {
        (me(&mc, &token).await.status == 200).then_some(())
    })
    .await;
    mc.stop().await;
}
