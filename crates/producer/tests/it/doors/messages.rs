//! `POST /v1/messages`: what we send, told by its sender.

use mailfleet_model::TenantId;
use serde_json::{Value, json};

use super::http::{Answer, Client};
use super::open;
use crate::world::World;

/// Where registrations go.
pub const PATH: &str = "/v1/messages";

struct Sender<'a> {
    client: &'a Client,
    token: String,
}

impl Sender<'_> {
    async fn new<'a>(world: &World<'_>, client: &'a Client, tenant: TenantId, name: &str) -> Sender<'a> {
        let token = world.store.add_api_token(tenant, name).await.unwrap().expose().to_owned();
        Sender { client, token }
    }

    fn register(&self, body: &Value) -> Answer {
        self.client.post(
            PATH,
            &[("Authorization", format!("Bearer {}", self.token))],
            body.to_string().as_bytes(),
        )
    }
}

fn message(number: u32) -> Value {
    json!({
        "message_id": format!("<m{number}@acme.example>"), "from": "ada@acme.example",
        "to": [format!("r{number}@example.com"), "both@example.com"], "cc": ["both@example.com"],
        "subject": format!("Offer {number}"), "provider": "ses-sns", "provider_message_id": format!("0100-{number}"),
        "sent_at": "2026-03-01T10:00:00Z",
    })
}

fn campaign(world: &World<'_>, tenant: TenantId, name: &str, lead: &str) -> (String, String) {
    let ids = world.sql(&format!(
        "WITH c AS (INSERT INTO mailfleet.campaigns (id, tenant_id, name) VALUES (gen_random_uuid(), '{tenant}', '{name}') \
         RETURNING id), l AS (INSERT INTO mailfleet.leads (id, tenant_id, campaign_id, email) \
         SELECT gen_random_uuid(), '{tenant}', id, '{lead}' FROM c RETURNING id, campaign_id) \
         SELECT campaign_id || ' ' || id FROM l"
    ));
    let (campaign, lead) = ids.split_once(' ').unwrap();
    (campaign.to_owned(), lead.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_message_is_there_with_its_recipients_once_however_often_it_is_told() {
    let world = World::without_accounts().await;
    let account = world.account("sales", "ada", &["INBOX"], "secret").await;
    let (campaign, lead) = campaign(&world, world.tenant, "spring", "r1@example.com");
    let (producer, client) = open(&world, "");
    let sender = Sender::new(&world, &client, world.tenant, "sender").await;
    let mut first = message(1);
    first["account"] = "sales".into();
    first["campaign"] = "spring".into();
    first["lead"] = "R1@Example.com".into();
    let answer = sender.register(&json!([first, message(2)]));
    assert_eq!((answer.code, answer.json()), (201, json!({"registered": 2, "known": 0})), "{answer:?}");
    let row = "SELECT direction || ' ' || status || ' ' || from_email || ' ' || to_email || ' ' || subject || ' ' || \
               email_account_id || ' ' || campaign_id || ' ' || lead_id FROM email_messages WHERE subject = 'Offer 1'";
    assert_eq!(
        world.sql(row),
        format!(
            "outbound queued ada@acme.example r1@example.com,both@example.com Offer 1 {account} {campaign} {lead}"
        )
    );
    assert_eq!(world.sql("SELECT count(*) FROM mailfleet.message_recipients"), "4", "cc repeats one of to");
    assert_eq!(
        world.sql("SELECT count(*) FROM mailfleet.message_aliases WHERE alias LIKE 'ses-sns:0100-_'"),
        "2"
    );

    let again = sender.register(&json!([first, message(3)]));
    assert_eq!((again.code, again.json()), (201, json!({"registered": 1, "known": 1})));
    let again = sender.register(&message(3));
    assert_eq!((again.code, again.json()), (201, json!({"registered": 0, "known": 1})));
    assert_eq!(world.sql("SELECT count(*) FROM email_messages"), "3");
    producer.until_metric("mailfleet_outbound_registered_total", 3.0).await;
    producer.until_metric("mailfleet_outbound_requests_total{result=\"accepted\"}", 2.0).await;
    producer.until_metric("mailfleet_outbound_requests_total{result=\"duplicate\"}", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_ids_lead_to_the_tenants_own_things_alone() {
    let world = World::without_accounts().await;
    let other = world.store.add_tenant(None, "globex", &[]).await.unwrap();
    let account = world.account("sales", "ada", &["INBOX"], "secret").await;
    world.shared_account("catchall", "eve").await;
    let (mine, lead) = campaign(&world, world.tenant, "spring", "r1@example.com");
    let (second, _) = campaign(&world, world.tenant, "autumn", "r2@example.com");
    let (theirs, their_lead) = campaign(&world, other, "winter", "r1@example.com");
    let (_producer, client) = open(&world, "");
    let sender = Sender::new(&world, &client, world.tenant, "sender").await;
    let with = |fields: Value| {
        let mut message = message(1);
        message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        sender.register(&message)
    };
    for (fields, field) in [
        (json!({"account": "nobody"}), "account"),
        (json!({"account": "catchall"}), "account"),
        (json!({"campaign": "winter"}), "campaign"),
        (json!({"campaign": theirs}), "campaign"),
        (json!({"campaign": "spring", "lead": "r2@example.com"}), "lead"),
        (json!({"campaign": second, "lead": lead}), "lead"),
        (json!({"lead": their_lead}), "lead"),
        (json!({"lead": "r1@example.com"}), "lead"),
    ] {
        let refused = with(fields.clone());
        assert_eq!((refused.code, refused.error().as_str()), (422, "unknown_reference"), "{fields}");
        assert!(
            refused.json()["message"].as_str().unwrap().starts_with(&format!("{field}: ")),
            "{refused:?}"
        );
    }
    // All or nothing: a list with one mistake registers none, and says which.
    let mut wrong = message(2);
    wrong["campaign"] = "winter".into();
    let refused = sender.register(&json!([message(1), wrong]));
    assert_eq!(refused.code, 422);
    assert!(refused.body.contains("[1].campaign"), "{refused:?}");
    assert_eq!(world.sql("SELECT count(*) FROM email_messages"), "0");

    let taken = with(json!({"account": account.to_string(), "lead": lead}));
    assert_eq!(taken.code, 201, "{taken:?}");
    let row =
        world.sql("SELECT email_account_id || ' ' || campaign_id || ' ' || lead_id FROM email_messages");
    assert_eq!(row, format!("{account} {mine} {lead}"), "the lead's campaign is the message's");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_message_id_of_two_tenants_is_two_messages() {
    let world = World::without_accounts().await;
    let other = world.store.add_tenant(None, "globex", &[]).await.unwrap();
    let (_producer, client) = open(&world, "");
    for (tenant, name) in [(world.tenant, "one"), (other, "two")] {
        let answer = Sender::new(&world, &client, tenant, name).await.register(&message(1));
        assert_eq!(answer.json(), json!({"registered": 1, "known": 0}));
    }
    assert_eq!(world.sql("SELECT count(DISTINCT tenant_id) FROM email_messages"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_or_shape_nothing_is_registered() {
    let world = World::without_accounts().await;
    let (_producer, client) = open(&world, "body_max_bytes = 20000\nrate_per_second = 1\nrate_burst = 6\n");
    let sender = Sender::new(&world, &client, world.tenant, "sender").await;
    let revoked = Sender::new(&world, &client, world.tenant, "revoked").await;
    assert!(world.store.revoke_api_token("revoked").await.unwrap());
    assert_eq!(revoked.register(&message(1)).code, 401);
    let body = message(1).to_string();
    for header in ["", "Bearer", "Bearer mft_0000", "Basic YTpi", &format!("Token {}", sender.token)] {
        let refused = client.post(PATH, &[("Authorization", header)], body.as_bytes());
        assert_eq!((refused.code, refused.error().as_str()), (401, "unauthorized"), "{header}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    let mut wrong = message(1);
    wrong["to"] = json!(["Ann <ann@example.com>"]);
    let refused = sender.register(&json!([message(2), wrong]));
    assert_eq!((refused.code, refused.error().as_str()), (400, "malformed"));
    assert!(refused.body.contains("[1].to[0]: must be a bare address"), "{refused:?}");
    let many: Vec<Value> = (0..=1_000).map(|_| json!({})).collect();
    assert_eq!(sender.register(&many.into()).code, 400);
    assert_eq!(sender.register(&json!({"subject": "x".repeat(30_000)})).code, 413);
    assert_eq!(world.sql("SELECT count(*) FROM email_messages"), "0");
    let codes: Vec<u16> = (0..9).map(|_| sender.register(&json!({})).code).collect();
    assert!(codes.contains(&429), "{codes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_there_is_not_is_refused_with_the_names_of_those_there_are() {
    let world = World::without_accounts().await;
    let (_producer, client) = open(&world, "");
    let sender = Sender::new(&world, &client, world.tenant, "sender").await;
    let mut typo = message(1);
    typo["provider"] = "sess".into();
    let refused = sender.register(&json!([message(2), typo]));
    assert_eq!((refused.code, refused.error().as_str()), (400, "malformed"), "{refused:?}");
    let said = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(said.starts_with("[1].provider: is not known"), "{said}");
    for provider in mailfleet_webhooks::all() {
        assert!(said.contains(provider.name()), "{} is not in: {said}", provider.name());
    }
    assert_eq!(world.sql("SELECT count(*) FROM email_messages"), "0");
    for (number, provider) in (3..).zip(mailfleet_webhooks::all()) {
        let mut good = message(number);
        good["provider"] = provider.name().into();
        assert_eq!(sender.register(&good).code, 201, "{}", provider.name());
    }
}
