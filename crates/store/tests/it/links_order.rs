//! The links do not depend on the order of arrival, on batches, or on what was registered or imported when.

use std::sync::OnceLock;

use mailfleet_model::{AccountId, CampaignId, LeadId};
use mailfleet_store::{MailRow, NewLead, NewOutbound};
use proptest::prelude::*;
use proptest::sample::Index;
use uuid::Uuid;

use crate::links::{campaign, inbound, registration, sent};
use crate::support::{World, new_account};

/// The campaign that is imported in the course of the steps.
const WINTER: Uuid = Uuid::from_u128(0xc3);
const NAMES: [&str; 3] = ["spring", "autumn", "winter"];

/// One thing that happens: a mail is seen, a message is registered, a campaign is imported.
#[derive(Debug, Clone)]
enum Step {
    Seen(Box<MailRow>),
    Told(Box<NewOutbound>),
    Imported,
}

/// How a mail of the set is made: whether it went out, which earlier ones it answers, what its header says.
#[derive(Debug, Clone)]
struct Spec {
    outbound: bool,
    told: bool,
    copied: bool,
    hint: Option<usize>,
    in_reply_to: Option<Index>,
    references: Vec<Index>,
}

fn spec() -> impl Strategy<Value = Spec> {
    let maybe = prop::option::of(any::<Index>());
    let references = prop::collection::vec(any::<Index>(), 0..3);
    (any::<bool>(), any::<bool>(), any::<bool>(), prop::option::of(0..NAMES.len()), maybe, references)
        .prop_map(|(outbound, told, copied, hint, in_reply_to, references)| Spec {
            outbound,
            told,
            copied,
            hint,
            in_reply_to,
            references,
        })
}

struct Fixture {
    runtime: tokio::runtime::Runtime,
    world: World,
    campaigns: [CampaignId; 2],
    /// Whose registrations there are; the copies are seen in another one.
    sender: AccountId,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (world, campaigns, sender) = runtime.block_on(async {
            let world = World::new().await;
            let spring = campaign(&world, world.tenant, "spring", "lead@example.org").await;
            let autumn = campaign(&world, world.tenant, "autumn", "lead@example.org").await;
            let sender = world.store.add_account(new_account("sender", Some(world.tenant))).await.unwrap();
            (world, [spring, autumn], sender)
        });
        Fixture { runtime, world, campaigns, sender }
    })
}

/// The steps of a set of mails. A mail answers earlier ones only, so that none goes in a circle.
fn steps(fixture: &Fixture, specs: &[Spec]) -> Vec<Step> {
    let world = &fixture.world;
    let id = |number: usize| format!("m{number}@example.org");
    let mut steps = vec![Step::Imported];
    for (number, spec) in specs.iter().enumerate() {
        let earlier = |index: &Index| id(index.index(number.max(1)));
        let in_reply_to: Vec<String> = spec.in_reply_to.iter().map(earlier).collect();
        let references: Vec<String> = spec.references.iter().map(earlier).collect();
        let in_reply_to: Vec<&str> = in_reply_to.iter().map(String::as_str).collect();
        let references: Vec<&str> = references.iter().map(String::as_str).collect();
        let hint = spec.hint.map(|name| NAMES[name].to_owned());
        let uid = u32::try_from(number).unwrap() * 10 + 1;
        let mail =
            if spec.outbound { sent } else { inbound }(world, uid, &id(number), &in_reply_to, &references);
        steps.push(Step::Seen(Box::new(MailRow { campaign_hint: hint.clone(), ..mail })));
        if spec.copied {
            let copy = inbound(world, uid + 1, &id(number), &in_reply_to, &references);
            steps.push(Step::Seen(Box::new(MailRow { campaign_hint: hint, ..copy })));
        }
        if spec.outbound && spec.told {
            let campaign = fixture.campaigns[number % 2];
            let message = registration(world, &id(number), Some(campaign));
            steps.push(Step::Told(Box::new(NewOutbound { account: Some(fixture.sender), ..message })));
        }
    }
    steps
}

async fn import_winter(world: &World) {
    let mut import = world.store.import_leads(world.tenant).await.unwrap();
    let line = NewLead {
        campaign: "winter".to_owned(),
        campaign_id: Some(CampaignId(WINTER)),
        email: "lead@example.org".to_owned(),
        lead_id: Some(LeadId(WINTER)),
        name: None,
    };
    assert_eq!(import.add(&[line]).await.unwrap(), []);
    import.commit().await.unwrap();
}

/// Everything that links say, after these steps in batches of `size`.
async fn end_of(world: &World, steps: &[Step], size: usize) -> String {
    world.sql(&format!(
        "TRUNCATE mailfleet.messages, mailfleet.awaited_parents, mailfleet.mailbox_messages, email_content CASCADE; \
         DELETE FROM mailfleet.campaigns WHERE id = '{WINTER}'"
    ));
    let mut batch: Vec<MailRow> = Vec::new();
    for step in steps {
        match step {
            Step::Seen(mail) => batch.push((**mail).clone()),
            Step::Imported => {
                world.store_all(&std::mem::take(&mut batch)).await;
                import_winter(world).await;
            }
            Step::Told(message) => {
                world.store_all(&std::mem::take(&mut batch)).await;
                world.store.register_outbound(std::slice::from_ref(message)).await.unwrap();
            }
        }
        if batch.len() >= size {
            world.store_all(&std::mem::take(&mut batch)).await;
        }
    }
    world.store_all(&batch).await;
    let differ = "email_messages e JOIN mailfleet.messages m USING (storage_key) \
         WHERE (e.parent_storage_key, e.thread_id, e.campaign_id, e.lead_id) \
         IS DISTINCT FROM (m.parent_storage_key, m.thread_id, m.campaign_id, m.lead_id)";
    assert_eq!(world.count(differ), 0, "both tables say the same");
    world.sql(
        "SELECT m.message_id, m.direction, m.thread_id, m.parent_storage_key, m.evidence, m.campaign_id, m.lead_id, \
         m.named_campaign_id, m.named_lead_id, m.account_id, m.refs, (SELECT count(*) FROM mailfleet.awaited_parents a WHERE a.storage_key = m.storage_key) \
         FROM mailfleet.messages m ORDER BY m.storage_key",
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_order_mails_and_registrations_come_in_the_end_is_the_same(
        specs in prop::collection::vec(spec(), 2..7),
        keys in prop::collection::vec(any::<u64>(), 22),
        sizes in (1usize..4, 1usize..4),
    ) {
        let fixture = fixture();
        let steps = steps(fixture, &specs);
        let mut order: Vec<usize> = (0..steps.len()).collect();
        order.sort_by_key(|&index| keys[index]);
        let shuffled: Vec<Step> = order.iter().map(|&index| steps[index].clone()).collect();
        let backwards: Vec<Step> = steps.iter().rev().cloned().collect();
        let (first, second, third) = fixture.runtime.block_on(async {
            let world = &fixture.world;
            (
                end_of(world, &steps, 1).await,
                end_of(world, &shuffled, sizes.0).await,
                end_of(world, &backwards, sizes.1).await,
            )
        });
        prop_assert_eq!(&first, &second);
        prop_assert_eq!(&first, &third);
    }
}
