//! What we sent, what comes back, and which campaign it belongs to: from the raw mail to the rows.

use mailfleet_model::{AccountId, Direction, MailboxId};
use mailfleet_queue::Enqueued;
use mailfleet_store::{NewLead, NewOutbound};
use mailfleet_testkit::eventually;

use crate::world::{LONG, World, job, mail};

impl World<'_> {
    /// Enqueues one mail from a Sent folder.
    async fn enqueue_sent(&self, account: (AccountId, MailboxId), uid: u32, raw: Vec<u8>) {
        let mut job = job(account, uid, raw);
        job.envelope.direction = Direction::Outbound;
        assert_eq!(self.queue.enqueue(vec![job]).await.unwrap(), [Enqueued::Queued]);
    }

    /// Registers a message that `ours` makes.
    async fn register(&self, id: &str, account: AccountId) {
        let message = NewOutbound {
            tenant: self.tenant,
            message_id: format!("{id}@acme.example"),
            account: Some(account),
            campaign: None,
            lead: None,
            from: "sales@acme.example".to_owned(),
            recipients: vec!["lead@example.org".to_owned(), "boss@example.org".to_owned()],
            to_header: "lead@example.org".to_owned(),
            subject: id.to_owned(),
            aliases: Vec::new(),
            created: chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
        };
        self.store.register_outbound(&[message]).await.unwrap();
    }

    async fn campaign(&self, tenant: mailfleet_model::TenantId, name: &str) {
        let lead = NewLead {
            campaign: name.to_owned(),
            campaign_id: None,
            email: "lead@example.org".to_owned(),
            lead_id: None,
            name: None,
        };
        let mut import = self.store.import_leads(tenant).await.unwrap();
        assert_eq!(import.add(&[lead]).await.unwrap(), []);
        import.commit().await.unwrap();
    }
}

fn ours(id: &str, more: &str) -> Vec<u8> {
    format!(
        "Message-ID: <{id}@acme.example>\r\nFrom: sales@acme.example\r\nTo: Lead <Lead@Example.org>\r\n\
         Cc: boss@example.org\r\nSubject: {id}\r\n{more}\r\nAn offer.\r\n"
    )
    .into_bytes()
}

fn returned(subject: &str, about: &str, recipient: &str) -> Vec<u8> {
    let head =
        "Return-Path: <>\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n";
    let mut raw = mail(subject, head);
    raw.extend_from_slice(
        format!(
            "\r\n--b\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r\n--b\r\n\
             Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.org\r\n\r\n\
             Final-Recipient: rfc822; {recipient}\r\nAction: failed\r\nStatus: 5.1.1\r\n\
             Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
             Message-ID: <{about}@acme.example>\r\nFrom: sales@acme.example\r\nTo: {recipient}\r\nSubject: x\r\n\r\n\
             An offer.\r\n--b--\r\n"
        )
        .as_bytes(),
    );
    raw
}

const STATUS: &str = "SELECT r.recipient || '=' || r.status FROM mailfleet.message_recipients r ORDER BY 1";

#[tokio::test]
async fn a_returned_mail_changes_what_we_sent_only_where_message_and_recipient_are_ours() {
    let world = World::new().await;
    world.campaign(world.tenant, "spring").await;
    // Registered first: that did not come through the queue, the copy does.
    world.register("offer", world.own.0).await;
    assert_eq!(world.sql("SELECT latency_ms IS NULL FROM mailfleet.messages"), "t");
    world.enqueue_sent(world.own, 1, ours("offer", "X-Campaign-ID: spring\r\n")).await;
    let consumer = world.consumer("");
    world.until_empty().await;
    assert_eq!(world.sql("SELECT direction, status FROM email_messages"), "outbound|sent");
    assert_eq!(world.sql(STATUS), "boss@example.org=1\nlead@example.org=1");

    let away = "Auto-Submitted: auto-replied\r\nIn-Reply-To: <offer@acme.example>\r\n";
    world
        .enqueue([
            (2, returned("other message", "nobody-knows", "lead@example.org")),
            (3, returned("other recipient", "offer", "stranger@example.org")),
            (4, mail("away until Monday", away)),
        ])
        .await;
    world.until_stored(4).await;
    assert_eq!(world.sql(STATUS), "boss@example.org=1\nlead@example.org=1", "nothing changed");
    assert_eq!(world.sql("SELECT status FROM email_messages WHERE direction = 'outbound'"), "sent");

    world.enqueue([(5, returned("both ours", "offer", "Lead@example.org"))]).await;
    world.until_stored(5).await;
    world.until_empty().await;
    assert_eq!(world.sql(STATUS), "boss@example.org=1\nlead@example.org=5");
    assert_eq!(
        world.sql("SELECT status FROM email_messages WHERE direction = 'outbound'"),
        "bounced",
        "the worst of its recipients"
    );
    assert_eq!(
        world.sql(
            "SELECT enhanced_status, smtp_code, reason FROM mailfleet.message_recipients WHERE status = 5"
        ),
        "5.1.1|550|userunknown"
    );
    // All of them are mails of their own too, and those about the offer belong to its campaign.
    let inbound = "SELECT m.subject, m.message_type, x.evidence, c.name FROM email_messages m \
         JOIN mailfleet.messages x USING (storage_key) LEFT JOIN mailfleet.campaigns c ON c.id = m.campaign_id \
         WHERE m.direction = 'inbound' ORDER BY m.subject";
    assert_eq!(
        world.sql(inbound),
        "away until Monday|auto_reply|in_reply_to|spring\nboth ours|bounce|references|spring\n\
         other message|bounce||\nother recipient|bounce|references|spring"
    );
    assert!(world.letters().await.is_empty());
    assert_eq!(consumer.processed("persisted"), 5);
    assert_eq!(world.sql("SELECT count(*) FROM mailfleet.messages WHERE latency_ms > 0"), "5");
    // Registered afterwards or never seen: nothing was measured, and no 0 stands for it.
    world.register("never seen", world.own.0).await;
    world.register("offer", world.own.0).await;
    assert_eq!(
        world.sql("SELECT message_id FROM mailfleet.messages WHERE latency_ms IS NULL"),
        "never seen@acme.example"
    );
    assert_eq!(world.sql("SELECT count(*) FROM mailfleet.messages WHERE latency_ms > 0"), "5");
}

#[tokio::test]
async fn a_sent_copy_is_never_a_reply_and_a_foreign_campaign_is_never_named() {
    let world = World::new().await;
    let other = world.store.add_tenant(None, "globex", &[]).await.unwrap();
    world.campaign(other, "theirs").await;
    world.enqueue([(1, mail("question", "X-Campaign-ID: theirs\r\n"))]).await;
    world.enqueue_sent(world.own, 2, ours("answer", "In-Reply-To: <question@acme.example>\r\n")).await;
    // Seen twice: in another folder too, and as a mail that came in.
    world
        .enqueue_sent(world.own, 3, ours("answer", "In-Reply-To: <question@acme.example>\r\nX-Later: 1\r\n"))
        .await;
    world.enqueue([(4, ours("answer", "In-Reply-To: <question@acme.example>\r\n"))]).await;
    let consumer = world.consumer("");
    world.until_stored(3).await;
    world.until_empty().await;
    assert_eq!((consumer.processed("persisted"), consumer.processed("duplicate")), (3, 1));
    assert_eq!(
        world.sql(
            "SELECT m.message_id, m.direction, p.message_id, m.evidence, m.campaign_id FROM mailfleet.messages m \
             LEFT JOIN mailfleet.messages p ON p.storage_key = m.parent_storage_key ORDER BY 1, 2"
        ),
        "answer@acme.example|inbound|question@acme.example||\nanswer@acme.example|outbound|question@acme.example||\n\
         question@acme.example|inbound|||"
    );
    assert_eq!(world.sql("SELECT count(DISTINCT thread_id) FROM email_messages"), "1");
}

#[tokio::test]
async fn a_mail_that_only_names_a_campaign_of_its_tenant_belongs_to_it_and_is_no_reply() {
    let world = World::new().await;
    world.campaign(world.tenant, "spring").await;
    let spring = world.sql("SELECT id FROM mailfleet.campaigns");
    world.enqueue_sent(world.own, 1, ours("offer", &format!("X-Campaign-ID: {spring}\r\n"))).await;
    world
        .enqueue([
            (2, mail("answer", "In-Reply-To: <offer@acme.example>\r\n")),
            (3, mail("named by id", &format!("X-Campaign-ID: {spring}\r\n"))),
        ])
        .await;
    let _consumer = world.consumer("[analytics]\nevery_seconds = 1\n");
    world.until_stored(3).await;
    assert_eq!(
        world.sql(
            "SELECT e.subject, e.campaign_id, m.evidence, e.parent_storage_key IS NULL FROM email_messages e \
             JOIN mailfleet.messages m USING (storage_key) WHERE e.direction = 'inbound' ORDER BY 1"
        ),
        format!("answer|{spring}|in_reply_to|f\nnamed by id|{spring}|x_campaign_id|t")
    );
    let counted = "SELECT sum(received), sum(replied) FROM analytics.campaign_day";
    eventually("both mails in the roll-up of the campaign", LONG, || async {
        (world.sql(counted).split('|').next() == Some("2")).then_some(())
    })
    .await;
    assert_eq!(world.sql(counted), "2|1", "the answer is a reply, the other mail is not");
}

#[tokio::test]
async fn what_a_shared_account_sent_is_the_senders() {
    let world = World::new().await;
    world.enqueue_sent(world.shared, 1, ours("offer", "Delivered-To: x@nobody.example\r\n")).await;
    let stranger =
        b"Message-ID: <s@nobody.example>\r\nFrom: a@nobody.example\r\nTo: ada@acme.example\r\n\r\nx\r\n";
    world.enqueue_sent(world.shared, 2, stranger.to_vec()).await;
    let _consumer = world.consumer("");
    world.until_stored(1).await;
    world.until_empty().await;
    assert_eq!(world.sql("SELECT tenant_id FROM email_messages"), world.tenant.to_string());
    let letters = world.letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason, "unknown_tenant");
    assert_eq!(letters[0].envelope_json["direction"], "outbound", "a replay knows which way it travelled");
}
