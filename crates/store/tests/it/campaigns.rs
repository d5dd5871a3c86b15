//! Campaigns and leads are upserted, and seen whole or not at all.

mod size;
mod together;

use mailfleet_model::{CampaignId, LeadId};
use mailfleet_store::{Imported, NewLead};
use uuid::Uuid;

use crate::support::World;

fn lead(campaign: &str, email: &str) -> NewLead {
    NewLead {
        campaign: campaign.to_owned(),
        campaign_id: None,
        email: email.to_owned(),
        lead_id: None,
        name: None,
    }
}

const ALL: &str = "SELECT c.id, c.name, l.id, l.email, l.name FROM mailfleet.campaigns c \
     JOIN mailfleet.leads l ON l.campaign_id = c.id ORDER BY c.name, l.email";

#[tokio::test(flavor = "multi_thread")]
async fn an_import_repeated_changes_nothing_and_ids_stay() {
    let world = World::new().await;
    let lines = [
        lead("spring", "ann@example.org"),
        lead("spring", "ben@example.org"),
        lead("autumn", "ann@example.org"),
    ];
    let mut import = world.store.import_leads(world.tenant).await.unwrap();
    assert_eq!(import.add(&lines).await.unwrap(), []);
    let done = import.commit().await.unwrap();
    assert_eq!(done, Imported { new_campaigns: 2, new_leads: 3, ..Imported::default() });
    let before = world.sql(ALL);
    let mut import = world.store.import_leads(world.tenant).await.unwrap();
    import.add(&lines).await.unwrap();
    let mut named = lines[0].clone();
    named.name = Some("Ann".to_owned());
    import.add(&[named]).await.unwrap();
    assert_eq!(
        import.commit().await.unwrap(),
        Imported { changed_leads: 1, unchanged: 3, ..Imported::default() }
    );
    let with_name: Vec<String> = before
        .lines()
        .map(|line| {
            if line.contains("spring") && line.contains("ann@") {
                format!("{line}Ann")
            } else {
                line.to_owned()
            }
        })
        .collect();
    assert_eq!(world.sql(ALL), with_name.join("\n"), "the ids are the same");
    let listed = world.store.campaigns(Some(world.tenant)).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|campaign| (campaign.name.as_str(), campaign.leads)).collect();
    assert_eq!(listed, [("autumn", 1), ("spring", 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_is_refused_by_its_line() {
    let world = World::new().await;
    let other = world.store.add_tenant(None, "globex", &[]).await.unwrap();
    let (campaign, ann, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    let with = |lead: NewLead, campaign: Option<Uuid>, id: Option<Uuid>| NewLead {
        campaign_id: campaign.map(CampaignId),
        lead_id: id.map(LeadId),
        ..lead
    };
    let mut import = world.store.import_leads(other).await.unwrap();
    import.add(&[with(lead("theirs", "ann@example.org"), Some(theirs), Some(theirs))]).await.unwrap();
    import.commit().await.unwrap();

    let mut import = world.store.import_leads(world.tenant).await.unwrap();
    let refused = import
        .add(&[
            with(lead("spring", "ann@example.org"), Some(campaign), Some(ann)),
            with(lead("spring", "ben@example.org"), Some(Uuid::from_u128(9)), None),
            with(lead("spring", "cid@example.org"), None, Some(ann)),
            with(lead("winter", "dan@example.org"), Some(theirs), None),
            with(lead("spring", "eve@example.org"), None, Some(theirs)),
            lead("spring", "fay@example.org"),
        ])
        .await
        .unwrap();
    let lines: Vec<usize> = refused.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 2, 3, 4], "{refused:?}");
    assert!(
        refused[0].1.contains("has the id") && refused[1].1.contains("belongs to ann@example.org"),
        "{refused:?}"
    );
    assert!(refused[2].1.contains("is taken") && refused[3].1.contains("is taken"), "{refused:?}");
    assert_eq!(import.commit().await.unwrap().new_leads, 2);
    assert_eq!(
        world.sql("SELECT t.name, l.email FROM mailfleet.leads l JOIN mailfleet.tenants t ON t.id = tenant_id ORDER BY 1, 2"),
        "acme|ann@example.org\nacme|fay@example.org\nglobex|ann@example.org"
    );
    // A campaign is known by its id: another name renames it.
    let mut import = world.store.import_leads(world.tenant).await.unwrap();
    assert_eq!(
        import.add(&[with(lead("Spring", "ann@example.org"), Some(campaign), None)]).await.unwrap(),
        []
    );
    assert_eq!(import.commit().await.unwrap().renamed_campaigns, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_not_committed_never_was() {
    let world = World::new().await;
    let mut import = world.store.import_leads(world.tenant).await.unwrap();
    import.add(&[lead("spring", "ann@example.org")]).await.unwrap();
    assert_eq!(import.abandon().await.unwrap().new_leads, 1);
    let mut import = world.store.import_leads(world.tenant).await.unwrap();
    import.add(&[lead("spring", "ann@example.org")]).await.unwrap();
    drop(import);
    assert_eq!((world.count("mailfleet.campaigns"), world.count("mailfleet.leads")), (0, 0));
}
