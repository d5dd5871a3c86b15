//! Which mail answers which, and which campaign it belongs to.

use mailfleet_model::{CampaignId, Direction, StorageKey, TenantId};
use mailfleet_store::{MailRow, NewLead, NewOutbound, Persisted, Refs};

use crate::analytics::run;
use crate::support::{SOON, World, new_account, store};

/// A campaign of a tenant with one lead.
pub async fn campaign(world: &World, tenant: TenantId, name: &str, lead: &str) -> CampaignId {
    let mut import = world.store.import_leads(tenant).await.unwrap();
    let line = NewLead {
        campaign: name.to_owned(),
        campaign_id: None,
        email: lead.to_owned(),
        lead_id: None,
        name: None,
    };
    assert_eq!(import.add(&[line]).await.unwrap(), []);
    import.commit().await.unwrap();
    let campaigns = world.store.campaigns(Some(tenant)).await.unwrap();
    campaigns.iter().find(|campaign| campaign.name == name).unwrap().id
}

/// A message that is sent, as it is registered.
pub fn registration(world: &World, id: &str, campaign: Option<CampaignId>) -> NewOutbound {
    NewOutbound {
        tenant: world.tenant,
        message_id: id.to_owned(),
        account: Some(world.account),
        campaign,
        lead: None,
        from: "sales@acme.example".to_owned(),
        recipients: vec!["lead@example.org".to_owned()],
        to_header: "lead@example.org".to_owned(),
        subject: "An offer".to_owned(),
        aliases: Vec::new(),
        created: chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
    }
}

/// A mail that came in.
pub fn inbound(world: &World, number: u32, id: &str, in_reply_to: &[&str], references: &[&str]) -> MailRow {
    let owned = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
    let mut mail = world.mail(number);
    mail.attachments.clear();
    mail.message_id = Some(id.to_owned());
    mail.key = StorageKey::inbound(Some(id), world.account, format!("raw {number}").as_bytes());
    mail.refs = Refs::of(Some(id), None, &owned(in_reply_to), &owned(references));
    MailRow { from_email: "lead@example.org".to_owned(), ..mail }
}

/// The copy of one that went out.
pub fn sent(world: &World, number: u32, id: &str, in_reply_to: &[&str], references: &[&str]) -> MailRow {
    let mut mail = inbound(world, number, id, in_reply_to, references);
    mail.direction = Direction::Outbound;
    mail.key = StorageKey::outbound(id, world.tenant);
    mail.recipients = vec!["lead@example.org".to_owned()];
    MailRow { from_email: "sales@acme.example".to_owned(), ..mail }
}

impl World {
    pub async fn store_all(&self, mails: &[MailRow]) {
        let fates = self.store.persist(mails).await.unwrap();
        assert!(fates.iter().all(|fate| *fate == Persisted::New), "{fates:?}");
    }

    /// `parent's Message-ID|evidence|campaign's name|lead's address` of a mail, by its Message-ID, as both tables have it.
    pub fn place(&self, id: &str) -> String {
        self.sql(&format!(
            "SELECT p.message_id, m.evidence, c.name, l.email FROM mailfleet.messages m \
             JOIN email_messages e ON e.storage_key = m.storage_key \
             AND (e.parent_storage_key, e.thread_id, e.campaign_id, e.lead_id) IS NOT DISTINCT FROM \
             (m.parent_storage_key, m.thread_id, m.campaign_id, m.lead_id) \
             LEFT JOIN mailfleet.messages p ON p.storage_key = m.parent_storage_key \
             LEFT JOIN mailfleet.campaigns c ON c.id = m.campaign_id LEFT JOIN mailfleet.leads l ON l.id = m.lead_id \
             WHERE m.message_id = '{id}' ORDER BY m.direction DESC, m.storage_key"
        ))
    }

    pub fn threads(&self) -> u64 {
        self.count("(SELECT DISTINCT thread_id FROM email_messages) t")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_inherits_campaign_and_lead_of_the_message_it_answers() {
    let world = World::new().await;
    let spring = campaign(&world, world.tenant, "spring", "lead@example.org").await;
    let lead = world.sql("SELECT id FROM mailfleet.leads").parse().unwrap();
    let told = NewOutbound { lead: Some(lead), ..registration(&world, "o1@acme.example", Some(spring)) };
    world.store.register_outbound(&[told]).await.unwrap();
    let direct = inbound(&world, 1, "r1@example.org", &["o1@acme.example"], &["o1@acme.example"]);
    let by_references = inbound(&world, 2, "r2@example.org", &["lost@example.org"], &["o1@acme.example"]);
    world.store_all(&[direct, by_references]).await;
    assert_eq!(world.place("o1@acme.example"), "|registered|spring|lead@example.org");
    assert_eq!(world.place("r1@example.org"), "o1@acme.example|in_reply_to|spring|lead@example.org");
    assert_eq!(world.place("r2@example.org"), "o1@acme.example|references|spring|lead@example.org");

    // Our own answer to the reply, and the reply to that: the conversation stays in its campaign.
    let ours = sent(&world, 3, "o2@acme.example", &["r1@example.org"], &[]);
    let theirs = inbound(&world, 4, "r3@example.org", &["o2@acme.example"], &[]);
    world.store_all(&[theirs, ours]).await;
    assert_eq!(world.place("r3@example.org"), "o2@acme.example|in_reply_to|spring|lead@example.org");
    assert_eq!(world.threads(), 1);
    let thread = world.sql("SELECT DISTINCT thread_id FROM email_messages");
    assert!(thread.starts_with("t_") && thread.len() == 34, "{thread}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_names_a_campaign_is_weak_and_of_the_own_tenant_only() {
    let world = World::new().await;
    let other = world.store.add_tenant(None, "globex", &[]).await.unwrap();
    campaign(&world, other, "theirs", "lead@example.org").await;
    let theirs_by_id = world.sql("SELECT id FROM mailfleet.campaigns WHERE name = 'theirs'");
    let spring = campaign(&world, world.tenant, "spring", "lead@example.org").await;
    let hinted = |number: u32, hint: &str| {
        let mut mail = inbound(&world, number, &format!("h{number}@example.org"), &["lost@example.org"], &[]);
        mail.campaign_hint = Some(hint.to_owned());
        mail
    };
    let hints =
        [hinted(1, "spring"), hinted(2, &spring.to_string()), hinted(3, "theirs"), hinted(4, &theirs_by_id)];
    world.store_all(&hints).await;
    assert_eq!(world.place("h1@example.org"), "|x_campaign_id|spring|lead@example.org");
    assert_eq!(world.place("h2@example.org"), "|x_campaign_id|spring|lead@example.org");
    assert_eq!(world.place("h3@example.org"), "|||");
    assert_eq!(world.place("h4@example.org"), "|||");

    // What the sender says of itself is not passed on to answers to it.
    world.store_all(&[inbound(&world, 5, "r5@example.org", &["h1@example.org"], &[])]).await;
    assert_eq!(world.place("r5@example.org"), "h1@example.org|||");
    // The real parent, known later, outweighs it.
    let autumn = campaign(&world, world.tenant, "autumn", "lead@example.org").await;
    world.store.register_outbound(&[registration(&world, "lost@example.org", Some(autumn))]).await.unwrap();
    assert_eq!(world.place("h1@example.org"), "lost@example.org|in_reply_to|autumn|");
    assert_eq!(world.place("r5@example.org"), "h1@example.org|references|autumn|");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_comes_later_adopts_and_moves_the_whole_thread() {
    let world = World::new().await;
    let spring = campaign(&world, world.tenant, "spring", "lead@example.org").await;
    // The second answers the first, which answers something unknown that began elsewhere.
    world.store_all(&[inbound(&world, 1, "r1@example.org", &["o1@acme.example"], &[])]).await;
    world.store_all(&[inbound(&world, 2, "r2@example.org", &["r1@example.org"], &[])]).await;
    world.store_all(&[inbound(&world, 3, "r3@example.org", &["r2@example.org"], &[])]).await;
    assert_eq!(world.place("r1@example.org"), "|||");
    assert_eq!(world.count("mailfleet.awaited_parents"), 1);
    let before = world.sql("SELECT DISTINCT thread_id FROM email_messages");

    let mut late = sent(&world, 4, "o1@acme.example", &[], &["root@example.org"]);
    late.campaign_hint = Some("spring".to_owned());
    world.store_all(&[late]).await;
    assert_eq!(world.place("o1@acme.example"), "|x_campaign_id|spring|lead@example.org");
    assert_eq!(world.place("r1@example.org"), "o1@acme.example|in_reply_to|spring|lead@example.org");
    assert_eq!(world.place("r3@example.org"), "r2@example.org|references|spring|lead@example.org");
    assert_eq!(world.threads(), 1);
    assert_ne!(world.sql("SELECT DISTINCT thread_id FROM email_messages"), before);
    // Only the beginning, which nobody has, is still waited for.
    assert_eq!(world.sql("SELECT message_id FROM mailfleet.awaited_parents"), "root@example.org");

    // A registration knows better than the header, and what followed follows again.
    let autumn = campaign(&world, world.tenant, "autumn", "lead@example.org").await;
    assert_ne!(spring, autumn);
    world.store.register_outbound(&[registration(&world, "o1@acme.example", Some(autumn))]).await.unwrap();
    assert_eq!(world.place("o1@acme.example"), "|registered|autumn|");
    assert_eq!(world.place("r3@example.org"), "r2@example.org|references|autumn|");
    assert_eq!(world.sql("SELECT message_id FROM mailfleet.awaited_parents"), "root@example.org");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_our_own_mail_is_never_a_reply() {
    let world = World::new().await;
    let spring = campaign(&world, world.tenant, "spring", "lead@example.org").await;
    world.store.register_outbound(&[registration(&world, "o1@acme.example", Some(spring))]).await.unwrap();
    // The follow-up in the Sent folder, and its copy in an inbox of ours, which both name the first mail as parent.
    let mut copy = inbound(&world, 1, "o2@acme.example", &["o1@acme.example"], &[]);
    copy.campaign_hint = Some("spring".to_owned());
    world.store_all(&[copy]).await;
    assert_eq!(
        world.place("o2@acme.example"),
        "o1@acme.example|in_reply_to|spring|",
        "not known to be ours yet"
    );
    world.store_all(&[sent(&world, 2, "o2@acme.example", &["o1@acme.example"], &[])]).await;
    assert_eq!(
        world.place("o2@acme.example"),
        "o1@acme.example|in_reply_to|spring|\no1@acme.example|||",
        "first the message we sent, then its copy"
    );
    run(&world.store).await;
    let counted = "SELECT received, replied FROM analytics.tenant";
    assert_eq!(world.sql(counted), "1|0");
    // Who answers it answers what we sent, not the copy.
    world.store_all(&[inbound(&world, 3, "r@example.org", &["o2@acme.example"], &[])]).await;
    assert_eq!(world.place("r@example.org"), "o2@acme.example|in_reply_to|spring|");
    let parent = world.sql(
        "SELECT p.direction FROM email_messages e JOIN email_messages p ON p.storage_key = e.parent_storage_key \
         WHERE e.from_email = 'lead@example.org' AND e.storage_key LIKE 'email_r@%'",
    );
    assert_eq!((parent.as_str(), world.threads()), ("outbound", 1));
    run(&world.store).await;
    assert_eq!(world.sql(counted), "2|1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_is_counted_whatever_ties_it_to_a_campaign() {
    let world = World::new().await;
    campaign(&world, world.tenant, "spring", "lead@example.org").await;
    let hinted = |mail: MailRow| MailRow { campaign_hint: Some("spring".to_owned()), ..mail };
    // Ours are of no campaign; one is registered, the other only seen.
    world.store.register_outbound(&[registration(&world, "o1@acme.example", None)]).await.unwrap();
    world.store_all(&[sent(&world, 1, "o2@acme.example", &[], &[])]).await;
    let away = inbound(&world, 4, "r4@example.org", &["o1@acme.example"], &[]);
    world
        .store_all(&[
            inbound(&world, 2, "r2@example.org", &["o1@acme.example"], &[]),
            hinted(inbound(&world, 3, "r3@example.org", &[], &["o2@acme.example"])),
            MailRow { message_type: "auto_reply".to_owned(), ..away },
            hinted(inbound(&world, 5, "r5@example.org", &[], &[])),
            inbound(&world, 6, "r6@example.org", &["r2@example.org"], &[]),
        ])
        .await;
    assert_eq!(world.place("r2@example.org"), "o1@acme.example|||");
    assert_eq!(world.place("r3@example.org"), "o2@acme.example|x_campaign_id|spring|lead@example.org");
    assert_eq!(world.place("r5@example.org"), "|x_campaign_id|spring|lead@example.org");
    run(&world.store).await;
    let counted =
        |rollup| world.sql(&format!("SELECT received, replied, auto_replied FROM analytics.{rollup}"));
    assert_eq!([counted("tenant"), counted("mailbox")], ["5|2|1", "5|2|1"]);
    assert_eq!(counted("campaign"), "2|1|0", "the one that answers us, not the one that only names it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_registration_takes_nothing_away_and_changes_nothing_that_was_told() {
    let world = World::new().await;
    let spring = campaign(&world, world.tenant, "spring", "lead@example.org").await;
    let autumn = campaign(&world, world.tenant, "autumn", "other@example.org").await;
    let lead = |address: &str| {
        world.sql(&format!("SELECT id FROM mailfleet.leads WHERE email = '{address}'")).parse().ok()
    };
    let (ours, other) = (lead("lead@example.org"), lead("other@example.org"));
    let told = |id: &str, campaign, lead| NewOutbound { lead, ..registration(&world, id, campaign) };
    let cases = [
        ("a", (Some(spring), ours), (Some(spring), None), "spring|lead@example.org"),
        ("b", (Some(spring), ours), (None, None), "spring|lead@example.org"),
        ("c", (Some(spring), None), (Some(spring), ours), "spring|lead@example.org"),
        ("d", (Some(spring), None), (Some(autumn), other), "spring|"),
        ("e", (Some(spring), ours), (Some(autumn), other), "spring|lead@example.org"),
        ("f", (None, None), (Some(autumn), other), "autumn|other@example.org"),
    ];
    for (name, first, later, end) in cases {
        let (one, copied, batched) = (
            format!("{name}1@acme.example"),
            format!("{name}2@acme.example"),
            format!("{name}3@acme.example"),
        );
        let pair = |id: &str| [told(id, first.0, first.1), told(id, later.0, later.1)];
        let [a, b] = pair(&one);
        world.store.register_outbound(&[a]).await.unwrap();
        world.store.register_outbound(&[b]).await.unwrap();
        // With the copy between them.
        let [a, b] = pair(&copied);
        world.store.register_outbound(&[a]).await.unwrap();
        world.store_all(&[sent(&world, u32::from(name.as_bytes()[0]), &copied, &[], &[])]).await;
        world.store.register_outbound(&[b]).await.unwrap();
        world.store.register_outbound(&pair(&batched)).await.unwrap();
        for id in [one, copied, batched] {
            assert_eq!(world.place(&id), format!("|registered|{end}"), "{id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_of_another_tenant_are_never_parents() {
    let world = World::new().await;
    let other = world.store.add_tenant(None, "globex", &[]).await.unwrap();
    let account = world.store.add_account(new_account("globex", Some(other))).await.unwrap();
    let mailbox = world.store.mailbox(account, "INBOX").await.unwrap();
    let mut theirs = inbound(&world, 1, "x@example.org", &[], &[]);
    theirs.tenant = other;
    theirs.at.account = account;
    theirs.at.mailbox = mailbox.id;
    let ours = inbound(&world, 2, "y@example.org", &["x@example.org"], &[]);
    // In one batch, of two tenants.
    world.store_all(&[theirs, ours]).await;
    assert_eq!(world.place("y@example.org"), "|||");
    assert_eq!(world.threads(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_that_answer_each_other_make_no_circle() {
    let world = World::new().await;
    // One by one, and within one batch.
    let answers = |number: u32, id: &str, to: &str| inbound(&world, number, id, &[to], &[]);
    world.store_all(&[answers(1, "a@example.org", "b@example.org")]).await;
    world.store_all(&[answers(2, "b@example.org", "c@example.org")]).await;
    world.store_all(&[answers(3, "c@example.org", "a@example.org")]).await;
    let two = [answers(4, "d@example.org", "e@example.org"), answers(5, "e@example.org", "d@example.org")];
    world.store_all(&two).await;
    let circles = "WITH RECURSIVE up(start, key) AS (SELECT storage_key, parent_storage_key FROM mailfleet.messages \
         UNION SELECT start, m.parent_storage_key FROM up JOIN mailfleet.messages m ON m.storage_key = up.key) \
         SELECT count(*) FROM up WHERE key = start";
    assert_eq!(world.sql(circles), "0");
    assert_eq!(world.count("mailfleet.messages WHERE parent_storage_key IS NULL"), 2);
    assert_eq!(world.threads(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn parent_and_child_that_are_committed_at_one_moment_find_each_other() {
    let world = World::new().await;
    let rival = world.rival().await;
    let tenant = world.tenant;
    for round in 0..6u32 {
        let (parent_id, child_id) = (format!("p{round}@acme.example"), format!("c{round}@example.org"));
        // Both come to the lock of the parent's name and stand before it; then it opens.
        let name = format!("hashtextextended('{tenant} {parent_id}', 0)");
        rival.batch_execute(&format!("SELECT pg_advisory_lock({name})")).await.unwrap();
        let parent = sent(&world, round * 2 + 1, &parent_id, &[], &[]);
        let child = inbound(&world, round * 2 + 2, &child_id, &[&parent_id], &[]);
        let order = if round % 2 == 0 { [parent, child] } else { [child, parent] };
        let racers = order.map(|mail| {
            let store = store(&world.url);
            tokio::spawn(async move { store.persist(&[mail]).await.unwrap() })
        });
        mailfleet_testkit::eventually("two writers at one lock", SOON, async || {
            let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            (world.sql(waiting) == "2").then_some(())
        })
        .await;
        rival.batch_execute(&format!("SELECT pg_advisory_unlock({name})")).await.unwrap();
        for racer in racers {
            assert_eq!(racer.await.unwrap(), [Persisted::New]);
        }
        assert_eq!(world.place(&child_id), format!("{parent_id}|||"), "round {round}");
        assert_eq!(world.count("mailfleet.awaited_parents"), 0);
    }
}
