//! The demo's campaign: three messages go out, and what comes back changes what is known of each. A reply and a bounce come
//! as mail, a delivery and a click as a signed webhook call.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mailfleet_model::{Secret, SecretSource, TenantId};
use mailfleet_store::{NewEndpoint, NewLead, Store};
use serde_json::json;

use super::http;
use super::mails::Delivery;
use super::servers::{DOMAIN, private_file};

/// Its name.
pub const NAME: &str = "Spring offer";
/// What its webhook calls are signed with.
const SECRET: &str = "the demo's shared secret";

/// Somebody it writes to.
pub struct Lead {
    /// Address.
    pub email: &'static str,
    /// Message-ID of what was sent, without brackets.
    pub message_id: &'static str,
    /// What comes back, for people.
    pub comes_back: &'static str,
    /// The status that is right at the end.
    pub status: &'static str,
    /// The replies that are right at the end.
    pub replies: u64,
}

/// Its leads.
pub const LEADS: [Lead; 3] = [
    Lead {
        email: "ann@lead.example",
        message_id: "spring-1@acme.example",
        comes_back: "a webhook call (delivered), a reply",
        status: "delivered",
        replies: 1,
    },
    Lead {
        email: "bob@lead.example",
        message_id: "spring-2@acme.example",
        comes_back: "a bounce, as mail",
        status: "bounced",
        replies: 0,
    },
    Lead {
        email: "cyd@lead.example",
        message_id: "spring-3@acme.example",
        comes_back: "a webhook call (delivered, clicked)",
        status: "delivered",
        replies: 0,
    },
];

/// What is needed to send and to report.
#[derive(Debug)]
pub struct Campaign {
    token: Secret,
    endpoint: Secret,
    door: SocketAddr,
}

impl Campaign {
    /// Imports the campaign with its leads, and opens the doors for its messages and for what is reported of them.
    pub async fn prepare(
        store: &Store,
        tenant: TenantId,
        dir: &Path,
        door: SocketAddr,
    ) -> anyhow::Result<Self> {
        let lead = |lead: &Lead| NewLead {
            campaign: NAME.to_owned(),
            campaign_id: None,
            email: lead.email.to_owned(),
            lead_id: None,
            name: None,
        };
        let mut import = store.import_leads(tenant).await?;
        let refused = import.add(&LEADS.each_ref().map(lead)).await?;
        import.commit().await?;
        if let Some((_, why)) = refused.first() {
            bail!("a lead of the demo was refused: {why}");
        }
        let secret = private_file(&dir.join("webhook-secret"), SECRET)?;
        let endpoint = NewEndpoint {
            tenant,
            provider: mailfleet_webhooks::GENERIC.to_owned(),
            name: "acme-sender".to_owned(),
            secret: SecretSource::File(secret),
            topic: None,
        };
        let endpoint = store.add_endpoint(&endpoint).await?;
        let token = store.add_api_token(tenant, "acme-sender").await?;
        Ok(Self { token, endpoint, door })
    }

    /// Registers the three messages, as the platform does when it hands them to its mail server.
    pub async fn send(&self, account: &str) -> anyhow::Result<()> {
        let messages: Vec<_> = LEADS
            .iter()
            .map(|lead| {
                json!({
                    "message_id": lead.message_id, "account": account, "campaign": NAME, "lead": lead.email,
                    "from": format!("sales@{DOMAIN}"), "to": [lead.email], "subject": "Our spring offer",
                })
            })
            .collect();
        let authorization = format!("Authorization: Bearer {}", self.token.expose());
        let status =
            http::post(self.door, "/v1/messages", &[authorization], &json!(messages).to_string()).await?;
        if status != 201 {
            bail!("POST /v1/messages was answered with {status}");
        }
        Ok(())
    }

    /// The signed call of a sending server that delivered two of the messages.
    pub async fn report(&self, now: i64) -> anyhow::Result<()> {
        let [ann, _, cyd] = &LEADS;
        let event = |event: &str, lead: &Lead| json!({ "event": event, "message_id": lead.message_id, "recipient": lead.email, "occurred_at": now });
        let body =
            json!([event("delivered", ann), event("delivered", cyd), event("clicked", cyd)]).to_string();
        let signature = mailfleet_webhooks::sign(SECRET.as_bytes(), now, body.as_bytes());
        let path = format!("/webhooks/{}/{}", mailfleet_webhooks::GENERIC, self.endpoint.expose());
        let signature = format!("X-Mailfleet-Signature: {signature}");
        // The address is a secret, also in an error.
        let status =
            http::post(self.door, &path, &[signature], &body).await.context("calling the webhook")?;
        if status != 200 {
            bail!("the webhook call was answered with {status}");
        }
        Ok(())
    }
}

/// The mails that come back: Ann's answer and Bob's bounce, to the account that the messages were sent from.
pub fn mails() -> Vec<Delivery> {
    let [ann, bob, _] = &LEADS;
    let reply = format!(
        "From: Ann <{0}>\r\nTo: sales@{DOMAIN}\r\nSubject: Re: Our spring offer\r\nMessage-ID: <answer-1@lead.example>\r\n\
         In-Reply-To: <{1}>\r\nReferences: <{1}>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n\r\nYes, tell me more.\r\n",
        ann.email, ann.message_id
    );
    let bounce = format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.lead.example\r\nTo: sales@{DOMAIN}\r\nSubject: Undelivered Mail Returned to \
         Sender\r\nMessage-ID: <bounce-2@mx.lead.example>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"report\"\r\n\r\n--report\r\n\
         Content-Type: text/plain\r\n\r\nYour message could not be delivered.\r\n--report\r\n\
         Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.lead.example\r\n\r\n\
         Final-Recipient: rfc822; {0}\r\nAction: failed\r\nStatus: 5.1.1\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 <{0}>: user unknown\r\n--report\r\nContent-Type: text/rfc822-headers\r\n\r\n\
         From: sales@{DOMAIN}\r\nTo: {0}\r\nSubject: Our spring offer\r\nMessage-ID: <{1}>\r\n--report--\r\n",
        bob.email, bob.message_id
    );
    let delivery =
        |name: &str, raw: String| Delivery { name: name.to_owned(), shared: false, raw: raw.into_bytes() };
    vec![delivery("the campaign's reply", reply), delivery("the campaign's bounce", bounce)]
}

/// How long what came back may take until it shows.
pub const SETTLED_WITHIN: Duration = Duration::from_secs(30);
