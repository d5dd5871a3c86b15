//! A mail may name a campaign before it is imported: the end is the same as if the import had come first.

use mailfleet_model::{CampaignId, LeadId};
use mailfleet_store::{MailRow, NewLead};
use uuid::Uuid;

use crate::analytics::{dump, run};
use crate::links::{campaign, inbound, registration, sent};
use crate::support::{SOON, World, store};

const SPRING: Uuid = Uuid::from_u128(0xa1);
const AUTUMN: Uuid = Uuid::from_u128(0xa2);

/// Imports a lead of one of the two campaigns; the ids are the same in every world.
async fn import(world: &World, id: Uuid, lead: &str, lead_id: u128) {
    let mut import = world.store.import_leads(world.tenant).await.unwrap();
    let line = NewLead {
        campaign: if id == SPRING { "spring" } else { "autumn" }.to_owned(),
        campaign_id: Some(CampaignId(id)),
        email: lead.to_owned(),
        lead_id: Some(LeadId(Uuid::from_u128(lead_id))),
        name: None,
    };
    assert_eq!(import.add(&[line]).await.unwrap(), []);
    import.commit().await.unwrap();
}

async fn mails(world: &World) {
    let hinted = |mail: MailRow, hint: &str| MailRow { campaign_hint: Some(hint.to_owned()), ..mail };
    let from = |mail: MailRow, address: &str| MailRow { from_email: address.to_owned(), ..mail };
    let plain = |number: u32| inbound(world, number, &format!("i{number}@example.org"), &[], &[]);
    world
        .store_all(&[
            hinted(plain(1), "spring"),
            hinted(plain(2), &SPRING.to_string().to_uppercase()),
            hinted(plain(3), "somebody else's"),
            hinted(from(plain(4), "late@example.org"), "spring"),
            hinted(from(plain(5), "nobody@example.org"), "autumn"),
            // Ours, the answers to it, and one that only follows the parent although its header says otherwise.
            hinted(sent(world, 6, "o6@acme.example", &[], &[]), "autumn"),
            inbound(world, 7, "i7@example.org", &["o6@acme.example"], &[]),
            hinted(inbound(world, 8, "i8@example.org", &["i7@example.org"], &[]), "spring"),
        ])
        .await;
    // Registered in the one and naming the other, in either order; seen before the header was known.
    let of = |campaign| Some(CampaignId(campaign));
    world.store_all(&[hinted(sent(world, 9, "o9@acme.example", &[], &[]), "spring")]).await;
    let told =
        [registration(world, "o9@acme.example", of(AUTUMN)), registration(world, "o10@acme.example", None)];
    world.store.register_outbound(&told).await.unwrap();
    world.store_all(&[hinted(sent(world, 10, "o10@acme.example", &[], &[]), "spring")]).await;
}

/// All that was made of them, without what differs between two worlds.
async fn end(world: &World) -> String {
    let differ = "email_messages e JOIN mailfleet.messages m USING (storage_key) \
         WHERE (e.parent_storage_key, e.thread_id, e.campaign_id, e.lead_id) \
         IS DISTINCT FROM (m.parent_storage_key, m.thread_id, m.campaign_id, m.lead_id)";
    assert_eq!(world.count(differ), 0, "both tables say the same");
    run(&world.store).await;
    let links = world.sql(
        "SELECT m.message_id, m.evidence, m.campaign_id, m.lead_id, m.named_campaign_id, m.named_lead_id \
         FROM mailfleet.messages m ORDER BY m.message_id",
    );
    let counted = dump(world).replace(&world.tenant.to_string(), "").replace(&world.account.to_string(), "");
    format!("{links}\n{counted}")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_after_the_mails_ends_as_one_before_them() {
    let (before, after) = (World::new().await, World::new().await);
    let all = async |world: &World| {
        import(world, SPRING, "lead@example.org", 1).await;
        import(world, SPRING, "late@example.org", 2).await;
        import(world, AUTUMN, "lead@example.org", 3).await;
    };
    all(&before).await;
    mails(&before).await;
    mails(&after).await;
    assert_eq!(after.count("mailfleet.messages WHERE evidence = 'x_campaign_id'"), 0);
    all(&after).await;
    let expected = end(&before).await;
    assert_eq!(end(&after).await, expected);
    let place = |id: &str| after.place(id);
    assert_eq!(place("i2@example.org"), "|x_campaign_id|spring|lead@example.org");
    assert_eq!(place("i4@example.org"), "|x_campaign_id|spring|late@example.org");
    assert_eq!(place("i5@example.org"), "|x_campaign_id|autumn|");
    assert_eq!(place("i8@example.org"), "i7@example.org|references|autumn|lead@example.org");
    assert_eq!(place("o9@acme.example"), "|registered|autumn|");
    assert_eq!(place("o10@acme.example"), "|x_campaign_id|spring|lead@example.org");
    // The same again changes nothing.
    let rows = "SELECT storage_key, updated FROM mailfleet.messages ORDER BY 1";
    let left = after.sql(rows);
    all(&after).await;
    assert_eq!(after.sql(rows), left);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_ties_more_mails_than_one_page_holds() {
    let world = World::new().await;
    let other = world.store.add_tenant(None, "globex", &[]).await.unwrap();
    let mails: Vec<MailRow> = (1..=510)
        .map(|number| {
            let hint = if number > 5 { "spring" } else { "autumn" };
            let mail = inbound(&world, number, &format!("i{number}@example.org"), &[], &[]);
            MailRow { campaign_hint: Some(hint.to_owned()), ..mail }
        })
        .collect();
    world.store_all(&mails).await;
    campaign(&world, other, "spring", "lead@example.org").await;
    assert_eq!(world.count("mailfleet.messages WHERE campaign_id IS NOT NULL"), 0, "another tenant's");
    campaign(&world, world.tenant, "spring", "lead@example.org").await;
    let tied = "mailfleet.messages m JOIN email_messages e USING (storage_key, campaign_id, lead_id)";
    assert_eq!(world.count(tied), 505);
    campaign(&world, world.tenant, "autumn", "lead@example.org").await;
    assert_eq!(world.count(tied), 510);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_and_an_import_at_one_moment_find_each_other() {
    let world = World::new().await;
    let mail = inbound(&world, 1, "i1@example.org", &[], &[]);
    let mail = MailRow { campaign_hint: Some("spring".to_owned()), ..mail };
    // The mail has asked for its campaign, and stands before the next table.
    let rival = world.rival().await;
    rival
        .batch_execute("BEGIN; LOCK TABLE mailfleet.awaited_parents IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let persisting = store(&world.url);
    let persisting = tokio::spawn(async move { persisting.persist(&[mail]).await.unwrap() });
    world.waiting_backend().await;
    let mut import = world.store.import_leads(world.tenant).await.unwrap();
    let line = NewLead {
        campaign: "spring".to_owned(),
        campaign_id: None,
        email: "lead@example.org".to_owned(),
        lead_id: None,
        name: None,
    };
    assert_eq!(import.add(&[line]).await.unwrap(), []);
    let importing = tokio::spawn(async move { import.commit().await.unwrap() });
    mailfleet_testkit::eventually("an import that waits for a mail", SOON, async || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        (world.sql(waiting) == "1").then_some(())
    })
    .await;
    rival.batch_execute("COMMIT").await.unwrap();
    persisting.await.unwrap();
    assert_eq!(importing.await.unwrap().new_leads, 1);
    assert_eq!(world.place("i1@example.org"), "|x_campaign_id|spring|lead@example.org");
}
