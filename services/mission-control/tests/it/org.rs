//! People, organizations, members and invites.

use std::{sync::Arc, time::Duration};

use chassis::{Caller, Error, channel::Peer, error::Kind};
use proto::{
    identity::v1::{Principal, PrincipalKind},
    org::v1::{
        AcceptInviteRequest, DeleteMeRequest, GetMyMembershipRequest, Member, RemoveMemberRequest, ResolveUserRequest,
        SetActiveOrganizationRequest, UpdateMemberRequest, UpdateMyOrganizationRequest,
        directory_service_client::DirectoryServiceClient, invite_service_client::InviteServiceClient,
        member_service_client::MemberServiceClient, organization_service_client::OrganizationServiceClient,
        user_service_client::UserServiceClient,
    },
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use testkit::gateway::{FakeGateway, Options, Release};

use crate::{
    harness::{Harness, eventually, id},
    path,
};

/// Signs somebody in as the edge does.
pub async fn sign_in(mc: &Harness, subject: &str, email: &str) -> Principal {
    let peer = mc.constellation.context.peers.as_service("org", None, None);
    let request = ResolveUserRequest {
        subject: subject.into(),
        email: Some(email.into()),
        name: Some(subject.into()),
    };
    let answer = DirectoryServiceClient::new(peer)
        .resolve_user(request)
        .await
        .expect("the person is resolved");
    answer.into_inner().principal.expect("a principal")
}

/// An agent of a board.
pub fn agent(agent: &str, organization: &str, board: &str) -> Principal {
    Principal {
        kind: PrincipalKind::Agent.into(),
        id: agent.into(),
        name: "Worker".into(),
        organization_id: organization.into(),
        board_id: board.into(),
        ..Principal::default()
    }
}

/// Calls a role as somebody.
pub fn calling(mc: &Harness, role: &str, principal: &Principal) -> Peer {
    let context = &mc.constellation.context;
    let caller = Caller {
        signed: Some(context.signer.sign(principal.clone(), Duration::from_mins(1))),
        request_id: Arc::from("test"),
        traceparent: Arc::from(""),
    };
    context.peers.on_behalf(role, &caller)
}

/// What kind of refusal it is, and its words.
#[track_caller]
pub fn refusal<T: std::fmt::Debug>(result: Result<T, tonic::Status>) -> (Kind, String) {
    let error = Error::from(result.expect_err("it is refused"));
    (error.kind(), error.to_string())
}

/// Makes a person a member of the local person's active organization. Answers them with the membership.
pub async fn join(mc: &Harness, name: &str, access: Value) -> Principal {
    let email = format!("{name}@example.org");
    let mut invite = access;
    invite["invited_email"] = email.clone().into();
    let invite = mc
        .person()
        .post("/api/v1/organizations/me/invites", invite)
        .await
        .expect(200);
    let token = invite["token"].as_str().expect("a token").to_owned();
    let principal = sign_in(mc, name, &email).await;
    if principal.organization_id != invite["organization_id"] {
        accept(mc, &principal, &token).await.expect("the invite is accepted");
        let organization_id = invite["organization_id"].as_str().expect("an organization").to_owned();
        OrganizationServiceClient::new(calling(mc, "org", &principal))
            .set_active_organization(SetActiveOrganizationRequest {
                organization_id,
                ..SetActiveOrganizationRequest::default()
            })
            .await
            .expect("it becomes active");
    }
    sign_in(mc, name, &email).await
}

async fn accept(mc: &Harness, principal: &Principal, token: &str) -> Result<Member, tonic::Status> {
    let request = AcceptInviteRequest {
        token: token.into(),
        ..AcceptInviteRequest::default()
    };
    InviteServiceClient::new(calling(mc, "org", principal))
        .accept_invite(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn set_role(mc: &Harness, actor: &Principal, member: &str, role: &str) -> Result<Member, tonic::Status> {
    let request = UpdateMemberRequest {
        member_id: member.into(),
        role: Some(role.into()),
        ..UpdateMemberRequest::default()
    };
    MemberServiceClient::new(calling(mc, "org", actor))
        .update_member(request)
        .await
        .map(tonic::Response::into_inner)
}

/// The id of somebody's membership in their active organization.
pub fn member_id(principal: &Principal) -> &str {
    let active = principal
        .memberships
        .iter()
        .find(|held| held.organization_id == principal.organization_id);
    &active.expect("the active organization is one of them").member_id
}

async fn events(mc: &Harness) -> Vec<String> {
    let mut connection = PgConnection::connect(&mc.database.url)
        .await
        .expect("the database answers");
    sqlx::query_scalar("SELECT event_type FROM org.recorded ORDER BY position, id")
        .fetch_all(&mut connection)
        .await
        .expect("the outbox")
}

async fn sql(mc: &Harness, statement: &'static str) -> u64 {
    let mut connection = PgConnection::connect(&mc.database.url)
        .await
        .expect("the database answers");
    sqlx::query(statement)
        .execute(&mut connection)
        .await
        .expect("the statement")
        .rows_affected()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_sign_in_happens_once_however_many_come_at_the_same_time() {
    let mc = Harness::start().await;
    let all = futures::future::join_all((0..8).map(|_| sign_in(&mc, "ada", "Ada@Example.org"))).await;
    assert!(
        all.iter().all(|one| *one == all[0]),
        "everybody gets the same person: {all:?}"
    );
    let ada = &all[0];
    assert_eq!(
        (ada.kind(), ada.name.as_str(), ada.memberships.len()),
        (PrincipalKind::User, "ada", 1)
    );
    let held = &ada.memberships[0];
    assert_eq!(
        (held.role.as_str(), held.all_boards_read, held.all_boards_write),
        ("owner", true, true)
    );
    assert_eq!(held.organization_id, ada.organization_id);
    assert_eq!(events(&mc).await, ["organization.created", "user.created"]);

    // Later sign-ins only read; a new address from the provider is written, a new name is not.
    sql(&mc, "UPDATE org.users SET updated_at = 'epoch'").await;
    sign_in(&mc, "ada", "ADA@example.org").await;
    assert_eq!(
        sql(
            &mc,
            "UPDATE org.users SET name = 'Countess' WHERE updated_at = 'epoch' AND email = 'ada@example.org'"
        )
        .await,
        1
    );
    let renamed = sign_in(&mc, "ada", "ada@example.com").await;
    assert_eq!(renamed.name, "Countess");
    assert_eq!(
        sql(&mc, "SELECT FROM org.users WHERE email = 'ada@example.com'").await,
        1
    );
    assert_eq!(
        events(&mc).await,
        ["organization.created", "user.created", "user.updated"]
    );
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_change_their_profile_and_nothing_else() {
    let mc = Harness::start().await;
    let person = mc.person();
    let me = person.post("/api/v1/auth/bootstrap", json!({})).await.expect(200);
    assert_eq!(
        (&me["clerk_user_id"], &me["name"], &me["notes"]),
        (&json!("local-auth-user"), &json!("Local User"), &Value::Null)
    );

    let changed = person
        .patch(
            "/api/v1/users/me",
            json!({"preferred_name": "Lo", "notes": "Be brief.", "email": "other@example.org"}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&changed["preferred_name"], &changed["notes"], &changed["email"]),
        (&json!("Lo"), &json!("Be brief."), &me["email"])
    );
    let cleared = person
        .patch("/api/v1/users/me", json!({"notes": null}))
        .await
        .expect(200);
    assert_eq!(
        (&cleared["preferred_name"], &cleared["notes"]),
        (&json!("Lo"), &Value::Null)
    );
    assert_eq!(person.patch("/api/v1/users/me", json!({})).await.expect(200), cleared);
    // A name travels with every call.
    let long = "x".repeat(201);
    person
        .patch("/api/v1/users/me", json!({"name": long}))
        .await
        .detail(422);
    assert_eq!(person.get("/api/v1/users/me").await.expect(200), cleared);
    assert_eq!(
        events(&mc).await,
        ["organization.created", "user.created", "user.updated", "user.updated"]
    );

    mc.nobody().get("/api/v1/users/me").await.detail(401);
    mc.rest(&[("authorization", "Bearer wrong")])
        .get("/api/v1/users/me")
        .await
        .detail(401);
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn organizations_are_unique_by_name_and_one_is_active() {
    let mc = Harness::start().await;
    let person = mc.person();
    let personal = person.get("/api/v1/organizations/me").await.expect(200);
    let created = person
        .post("/api/v1/organizations", json!({"name": "  Acme "}))
        .await
        .expect(200);
    assert_eq!(created["name"], "Acme");

    let list = person.get("/api/v1/organizations/me/list").await.expect(200);
    let shown: Vec<_> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| (item["name"].clone(), item["role"].clone(), item["is_active"].clone()))
        .collect();
    assert_eq!(
        shown,
        [
            (json!("Acme"), json!("owner"), json!(true)),
            (json!("Personal"), json!("owner"), json!(false))
        ]
    );

    for name in ["ACME", "personal"] {
        let detail = person
            .post("/api/v1/organizations", json!({"name": name}))
            .await
            .detail(409);
        assert_eq!(
            detail,
            format!("An organization named `{name}` exists already. Choose another name.")
        );
    }
    person
        .post("/api/v1/organizations", json!({"name": "  "}))
        .await
        .detail(422);
    let twice =
        futures::future::join_all((0..4).map(|_| person.post("/api/v1/organizations", json!({"name": "Twice"})))).await;
    let mut statuses: Vec<_> = twice.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409]);

    let active = person
        .patch(
            "/api/v1/organizations/me/active",
            json!({"organization_id": id(&personal)}),
        )
        .await
        .expect(200);
    assert_eq!(active, personal);
    eventually("the change arriving at the edge", || async {
        (person.get("/api/v1/organizations/me").await.expect(200) == personal).then_some(())
    })
    .await;
    let own = person.get("/api/v1/organizations/me/member").await.expect(200);
    assert_eq!(
        (&own["organization_id"], &own["role"], &own["user"]["email"]),
        (&personal["id"], &json!("owner"), &json!("admin@home.local"))
    );

    let stranger = sign_in(&mc, "eve", "eve@example.org").await;
    let request = SetActiveOrganizationRequest {
        organization_id: id(&created),
        ..SetActiveOrganizationRequest::default()
    };
    let refused = OrganizationServiceClient::new(calling(&mc, "org", &stranger))
        .set_active_organization(request)
        .await;
    assert_eq!(refusal(refused), (Kind::Denied, "No org access".into()));
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admins_rename_their_organization_and_names_stay_unique() {
    let mc = Harness::start().await;
    let person = mc.person();
    let personal = person.get("/api/v1/organizations/me").await.expect(200);
    let admin = join(&mc, "ann", json!({"role": "admin"})).await;
    let member = join(&mc, "max", json!({})).await;
    let eve = sign_in(&mc, "eve", "eve@example.org").await;
    let rename = async |actor: &Principal, name: &str| {
        let request = UpdateMyOrganizationRequest {
            name: name.into(),
            ..UpdateMyOrganizationRequest::default()
        };
        OrganizationServiceClient::new(calling(&mc, "org", actor))
            .update_my_organization(request)
            .await
            .map(tonic::Response::into_inner)
    };

    let renamed = person
        .patch("/api/v1/organizations/me", json!({"name": "  Acme "}))
        .await
        .expect(200);
    assert_eq!(
        (&renamed["id"], &renamed["name"], &renamed["created_at"]),
        (&personal["id"], &json!("Acme"), &personal["created_at"])
    );
    assert_ne!(renamed["updated_at"], personal["updated_at"]);
    assert_eq!(person.get("/api/v1/organizations/me").await.expect(200), renamed);
    // The same name changes nothing, another spelling of it does.
    assert_eq!(
        person
            .patch("/api/v1/organizations/me", json!({"name": "Acme"}))
            .await
            .expect(200),
        renamed
    );
    assert_eq!(rename(&admin, "ACME").await.expect("admins rename").name, "ACME");

    for body in [json!({"name": " "}), json!({"name": null}), json!({})] {
        person.patch("/api/v1/organizations/me", body).await.detail(422);
    }
    assert_eq!(refusal(rename(&member, "Mine").await).0, Kind::Denied);
    let taken = refusal(rename(&eve, "acme").await);
    assert_eq!(
        taken,
        (
            Kind::Conflict,
            "An organization named `acme` exists already. Choose another name.".into()
        )
    );
    person
        .post("/api/v1/organizations", json!({"name": "acme"}))
        .await
        .detail(409);
    let (one, other) = futures::join!(rename(&admin, "Twice"), rename(&eve, "twice"));
    assert_ne!(
        one.is_ok(),
        other.is_ok(),
        "one of two gets the name: {one:?} {other:?}"
    );

    let told = events(&mc).await;
    let entries = told.iter().filter(|kind| *kind == "organization.updated").count();
    assert_eq!(entries, 3, "only changes are told: {told:?}");
    eventually("the audit trail having the names", || async {
        let trail = person
            .get("/api/v1/activity?with_changes=true&event_type=organization.updated")
            .await
            .expect(200);
        let items = trail["items"].as_array()?;
        items
            .iter()
            .any(|item| item["before"]["name"] == "Personal" && item["after"]["name"] == "Acme")
            .then_some(())
    })
    .await;
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invite_works_once_for_its_address_until_it_expires() {
    let mc = Harness::start().await;
    let person = mc.person();
    let organization = id(&person.get("/api/v1/organizations/me").await.expect(200));
    let bob = sign_in(&mc, "bob", "bob@example.org").await;
    let eve = sign_in(&mc, "eve", "eve@example.org").await;

    let sent = json!({"invited_email": " Bob@Example.org", "role": "Admin", "all_boards_write": true});
    let invite = person
        .post("/api/v1/organizations/me/invites", sent.clone())
        .await
        .expect(200);
    let token = invite["token"].as_str().expect("a token").to_owned();
    assert_eq!(
        (invite["invited_email"].as_str(), invite["role"].as_str(), token.len()),
        (Some("bob@example.org"), Some("admin"), 32)
    );
    let listed = person.get("/api/v1/organizations/me/invites").await.expect(200);
    assert_eq!(
        (&listed["total"], &listed["items"][0]["token"]),
        (&json!(1), &json!("********")),
        "the token is answered once"
    );

    let (kind, _) = refusal(accept(&mc, &eve, &token).await);
    assert_eq!(kind, Kind::Denied, "an invite is for one address");
    let member = accept(&mc, &bob, &token).await.expect("bob joins");
    assert_eq!(
        (
            member.organization_id.as_str(),
            member.role.as_str(),
            member.all_boards_write
        ),
        (organization.as_str(), "admin", true)
    );
    assert_eq!(
        refusal(accept(&mc, &bob, &token).await).0,
        Kind::NotFound,
        "a token works once"
    );
    assert_eq!(
        person.get("/api/v1/organizations/me/invites").await.expect(200)["total"],
        0
    );
    person.post("/api/v1/organizations/me/invites", sent).await.detail(409);

    // Their own organization stays active; the new one is one of theirs.
    let again = sign_in(&mc, "bob", "bob@example.org").await;
    assert_eq!(
        (&again.organization_id, again.memberships.len()),
        (&bob.organization_id, 2)
    );

    // Revoked and expired ones work no more.
    let invite = |email: &str| person.post("/api/v1/organizations/me/invites", json!({"invited_email": email}));
    let revoked = invite("eve@example.org").await.expect(200);
    person
        .delete(&format!("/api/v1/organizations/me/invites/{}", id(&revoked)))
        .await
        .expect(200);
    person
        .delete(&format!("/api/v1/organizations/me/invites/{}", id(&revoked)))
        .await
        .detail(404);
    let expired = invite("eve@example.org").await.expect(200);
    sql(&mc, "UPDATE org.invites SET expires_at = now()").await;
    for invite in [revoked, expired] {
        let refused = accept(&mc, &eve, invite["token"].as_str().expect("a token")).await;
        assert_eq!(refusal(refused).0, Kind::NotFound);
    }
    for email in ["", "nobody"] {
        invite(email).await.detail(422);
    }
    let stored: Vec<Vec<u8>> = {
        let mut connection = PgConnection::connect(&mc.database.url)
            .await
            .expect("the database answers");
        sqlx::query_scalar("SELECT event FROM org.recorded")
            .fetch_all(&mut connection)
            .await
            .expect("the outbox")
    };
    assert!(
        !stored
            .iter()
            .any(|event| String::from_utf8_lossy(event).contains(&token)),
        "no event carries a token"
    );
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_invited_before_the_first_sign_in_joins_with_it() {
    let mc = Harness::start().await;
    let organization = id(&mc.person().get("/api/v1/organizations/me").await.expect(200));
    let carol = join(&mc, "carol", json!({"all_boards_read": true})).await;
    assert_eq!(
        (carol.memberships.len(), &carol.organization_id),
        (1, &organization),
        "no personal organization"
    );
    assert_eq!(
        (carol.memberships[0].role.as_str(), carol.memberships[0].all_boards_read),
        ("member", true)
    );
    assert!(events(&mc).await.ends_with(&[
        "member.created".to_owned(),
        "invite.accepted".into(),
        "user.created".into()
    ]));
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_are_made_and_unmade_by_owners_and_one_remains() {
    let mc = Harness::start().await;
    let person = mc.person();
    let own = id(&person.get("/api/v1/organizations/me/member").await.expect(200));
    let admin = join(&mc, "ann", json!({"role": "admin"})).await;
    let member = join(&mc, "max", json!({})).await;
    let url = |member: &str| format!("/api/v1/organizations/me/members/{member}");

    let all = person.get("/api/v1/organizations/me/members").await.expect(200);
    let emails: Vec<_> = all["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["user"]["email"].clone())
        .collect();
    assert_eq!(
        (emails, &all["total"]),
        (
            vec![
                json!("admin@home.local"),
                json!("ann@example.org"),
                json!("max@example.org")
            ],
            &json!(3)
        )
    );

    assert_eq!(
        person.patch(&url(&own), json!({"role": "member"})).await.detail(422),
        "Organization must have at least one owner"
    );
    person.patch(&url(&own), json!({"role": "king"})).await.detail(422);
    assert_eq!(
        person.delete(&url(&own)).await.detail(403),
        "You cannot remove yourself from the organization"
    );
    assert_eq!(person.patch(&url(&own), json!({})).await.expect(200)["role"], "owner");

    let (kind, text) = refusal(set_role(&mc, &admin, member_id(&member), "owner").await);
    assert_eq!(
        (kind, text.as_str()),
        (Kind::Denied, "Only owners can make or change owners.")
    );
    assert_eq!(refusal(set_role(&mc, &admin, &own, "member").await).0, Kind::Denied);
    assert_eq!(
        refusal(set_role(&mc, &member, member_id(&member), "admin").await).0,
        Kind::Denied
    );
    let removing = RemoveMemberRequest {
        member_id: own.clone(),
        ..RemoveMemberRequest::default()
    };
    let refused = MemberServiceClient::new(calling(&mc, "org", &admin))
        .remove_member(removing)
        .await;
    assert_eq!(refusal(refused), (Kind::Denied, "Only owners can remove owners".into()));
    assert_eq!(
        set_role(&mc, &admin, member_id(&member), "admin")
            .await
            .expect("admins make admins")
            .role,
        "admin"
    );

    // A principal that was signed before the demotion counts for nothing.
    person
        .patch(&url(member_id(&admin)), json!({"role": "member"}))
        .await
        .expect(200);
    assert_eq!(
        refusal(set_role(&mc, &admin, member_id(&member), "member").await).0,
        Kind::Denied
    );

    // Removed, they fall back to an organization of their own at the next sign-in.
    person.delete(&url(member_id(&member))).await.expect(200);
    person.get(&url(member_id(&member))).await.detail(404);
    let alone = sign_in(&mc, "max", "max@example.org").await;
    assert_ne!(alone.organization_id, member.organization_id);
    assert_eq!(
        (alone.memberships.len(), alone.memberships[0].role.as_str()),
        (1, "owner")
    );
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_goes_with_its_last_member_and_never_loses_its_only_owner() {
    let mc = Harness::start().await;
    let person = mc.person();
    let personal = id(&person.get("/api/v1/organizations/me").await.expect(200));
    let ann = join(&mc, "ann", json!({"role": "admin"})).await;
    assert_eq!(ann.organization_id, personal);
    let detail = person.delete("/api/v1/users/me").await.detail(409);
    assert!(
        detail
            .as_str()
            .is_some_and(|text| text.starts_with("You are the only owner of Personal")),
        "{detail}"
    );

    // Another organization is deleted with everything; the person goes on in the one that is left.
    person
        .post("/api/v1/organizations", json!({"name": "Brief"}))
        .await
        .expect(200);
    eventually("the new organization being active", || async {
        (person.get("/api/v1/organizations/me").await.expect(200)["name"] == "Brief").then_some(())
    })
    .await;
    person.delete("/api/v1/organizations/me").await.expect(200);
    eventually("falling back", || async {
        let active = person.get("/api/v1/organizations/me").await;
        (active.status == 200 && active.body["id"] == personal.as_str()).then_some(())
    })
    .await;

    // Leaving as one of several takes the membership only; leaving as the last takes the organization.
    UserServiceClient::new(calling(&mc, "org", &ann))
        .delete_me(DeleteMeRequest::default())
        .await
        .expect("ann leaves");
    let gone = OrganizationServiceClient::new(calling(&mc, "org", &ann))
        .get_my_membership(GetMyMembershipRequest {})
        .await;
    assert_eq!(refusal(gone).0, Kind::Denied);
    person.delete("/api/v1/users/me").await.expect(200);
    let told = events(&mc).await;
    assert_eq!(
        told.iter().filter(|kind| *kind == "organization.deleted").count(),
        2,
        "{told:?}"
    );
    assert_eq!(
        told.iter().filter(|kind| *kind == "user.deleted").count(),
        2,
        "{told:?}"
    );
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn board_access_follows_grants_and_ends_with_the_board() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::start().await;
    let person = mc.person();
    let gateway = person
        .post(
            "/api/v1/gateways",
            json!({"name": "G", "url": fake.url(), "token": fake.token(), "workspace_root": "~/.openclaw"}),
        )
        .await
        .expect(200);
    let board = id(&person
        .post("/api/v1/boards", path::board("Alpha", &id(&gateway)))
        .await
        .expect(200));
    let bob = join(&mc, "bob", json!({})).await;
    let url = format!("/api/v1/organizations/me/members/{}/access", member_id(&bob));

    let foreign = uuid::Uuid::now_v7().to_string();
    let refused = person
        .put(
            &url,
            json!({"board_access": [{"board_id": foreign}, {"board_id": board}]}),
        )
        .await
        .detail(422);
    assert_eq!(refused["board_ids"], json!([foreign]), "{refused:#}");
    let given = person
        .put(&url, json!({"board_access": [{"board_id": board, "can_write": true}]}))
        .await
        .expect(200);
    assert_eq!(
        (
            &given["board_access"][0]["can_read"],
            &given["board_access"][0]["can_write"]
        ),
        (&json!(true), &json!(true))
    );
    let grants = sign_in(&mc, "bob", "bob@example.org").await.memberships[0]
        .grants
        .clone();
    assert_eq!(
        (grants.len(), grants[0].board_id.as_str(), grants[0].can_write),
        (1, board.as_str(), true)
    );

    let less = person
        .put(&url, json!({"board_access": [{"board_id": board}]}))
        .await
        .expect(200);
    assert_eq!(
        (
            &less["board_access"][0]["can_read"],
            &less["board_access"][0]["can_write"]
        ),
        (&json!(true), &json!(false))
    );
    person.delete(&format!("/api/v1/boards/{board}")).await.expect(200);
    eventually("the grant ending", || async {
        sign_in(&mc, "bob", "bob@example.org").await.memberships[0]
            .grants
            .is_empty()
            .then_some(())
    })
    .await;
    let all = person.put(&url, json!({"all_boards_read": true})).await.expect(200);
    assert_eq!(
        (&all["all_boards_read"], &all["board_access"]),
        (&json!(true), &json!([]))
    );
    mc.stop().await;
}
