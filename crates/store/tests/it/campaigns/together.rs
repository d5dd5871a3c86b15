//! Lines of one file: put together where they agree, refused where they do not, and it makes no difference how many of them go
//! to PostgreSQL at once.

use mailfleet_model::{CampaignId, LeadId};
use mailfleet_store::{Imported, NewLead};
use uuid::Uuid;

use super::lead;
use crate::support::World;

const LEADS: &str = "SELECT l.id, l.email, l.name FROM mailfleet.leads l ORDER BY l.email";

fn named(lead: NewLead, name: &str) -> NewLead {
    NewLead { name: Some(name.to_owned()), ..lead }
}

fn id(lead: NewLead, id: u128) -> NewLead {
    NewLead { lead_id: Some(LeadId(Uuid::from_u128(id))), ..lead }
}

/// Imports the lines, `at_once` of them in a call; tells which were refused and why.
async fn import(world: &World, lines: &[NewLead], at_once: usize) -> (Vec<(usize, String)>, Imported) {
    let mut import = world.store.import_leads(world.tenant).await.unwrap();
    let mut refused = Vec::new();
    for (chunk, lines) in lines.chunks(at_once).enumerate() {
        let here = import.add(lines).await.unwrap();
        refused.extend(here.into_iter().map(|(index, why)| (chunk * at_once + index, why)));
    }
    (refused, import.commit().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_line_of_a_lead_adds_to_the_first_and_what_is_empty_in_it_erases_nothing() {
    let ann = || lead("dup", "a@x.example");
    let uuid = |n: u128| Uuid::from_u128(n);
    let lines = [
        id(named(ann(), "Ann"), 7),
        ann(),
        named(ann(), ""),
        // The other way round: the id comes after a line without one, for which one was made.
        named(lead("dup", "b@x.example"), "Ben"),
        id(lead("dup", "b@x.example"), 8),
        lead("dup", "b@x.example"),
    ];
    for at_once in [1, 2, 4, 100] {
        let world = World::new().await;
        let (refused, done) = import(&world, &lines, at_once).await;
        assert_eq!(refused, [], "{at_once} at once");
        assert_eq!(done.new_leads, 2);
        let want = format!("{}|a@x.example|Ann\n{}|b@x.example|Ben", uuid(7), uuid(8));
        assert_eq!(world.sql(LEADS), want, "{at_once} at once");
        // Nor does the same file again, or one that tells less.
        for again in [&lines[..], &[ann()]] {
            let (refused, done) = import(&world, again, at_once).await;
            let unchanged = Imported { unchanged: again.len() as u64, ..Imported::default() };
            assert_eq!((refused, done), (vec![], unchanged), "{at_once} at once");
        }
        assert_eq!(world.sql(LEADS), want, "{at_once} at once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_contradict_are_refused_alike_in_one_call_and_in_several() {
    let ann = || lead("dup", "a@x.example");
    let lines = [
        id(ann(), 7),
        id(ann(), 8),
        id(lead("dup", "b@x.example"), 7),
        lead("dup", "c@x.example"),
        id(lead("dup", "c@x.example"), 9),
        id(lead("dup", "c@x.example"), 10),
        id(lead("dup", "d@x.example"), 10),
    ];
    let mut all = Vec::new();
    for at_once in [1, 2, 3, 100] {
        let world = World::new().await;
        let (refused, _) = import(&world, &lines, at_once).await;
        let places: Vec<usize> = refused.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, [1, 2, 5], "{refused:?}");
        let [seven, nine, ten] = [7, 9, 10].map(Uuid::from_u128);
        let want = format!("{seven}|a@x.example|\n{nine}|c@x.example|\n{ten}|d@x.example|");
        assert_eq!(world.sql(LEADS), want, "{at_once} at once");
        all.push(refused);
    }
    assert!(all.windows(2).all(|two| two[0] == two[1]), "{all:?}");
    let [has, belongs] = ["has the id", "belongs to a@x.example"];
    assert!(
        all[0][0].1.contains(has) && all[0][1].1.contains(belongs) && all[0][2].1.contains(has),
        "{all:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_whose_id_another_tenant_has_does_not_take_the_other_lines_of_its_lead_with_it() {
    let ann = || lead("dup", "a@x.example");
    let lines = [named(ann(), "Ann"), id(ann(), 7), ann()];
    for at_once in [1, 2, 3] {
        let world = World::new().await;
        let other = world.store.add_tenant(None, "globex", &[]).await.unwrap();
        let mut theirs = world.store.import_leads(other).await.unwrap();
        theirs.add(&[id(lead("theirs", "z@x.example"), 7)]).await.unwrap();
        theirs.commit().await.unwrap();
        let (refused, done) = import(&world, &lines, at_once).await;
        assert_eq!(refused.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1], "{refused:?}");
        assert!(refused[0].1.contains("is taken"), "{refused:?}");
        assert_eq!(done.new_leads, 1);
        assert_eq!(
            world.sql("SELECT email, name FROM mailfleet.leads ORDER BY 1"),
            "a@x.example|Ann\nz@x.example|"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_one_file_calls_by_two_names_is_refused_and_keeps_the_first() {
    let campaign = |name: &str, id: Option<u128>| NewLead {
        campaign_id: id.map(|id| CampaignId(Uuid::from_u128(id))),
        ..lead(name, "a@x.example")
    };
    let names = "SELECT name FROM mailfleet.campaigns ORDER BY 1";
    for at_once in [1, 100] {
        let world = World::new().await;
        let lines = [campaign("spring", Some(1)), campaign("summer", Some(1)), campaign("spring", None)];
        for again in [false, true] {
            let (refused, done) = import(&world, &lines, at_once).await;
            let (place, why) = refused.first().unwrap();
            assert!(
                refused.len() == 1 && *place == 1 && why.contains("is `spring` in a line before"),
                "{refused:?}"
            );
            assert_eq!((done.renamed_campaigns, done.new_campaigns), (0, u64::from(!again)));
            assert_eq!(world.sql(names), "spring");
        }
        // A campaign that is known under a name, and is then named by its id.
        let (refused, _) =
            import(&world, &[campaign("spring", None), campaign("summer", Some(1))], at_once).await;
        assert_eq!(refused.len(), 1, "{refused:?}");
        // One name in the file, another than the known one: renamed, once.
        for renamed in [1, 0] {
            let lines = [campaign("summer", Some(1)), campaign("summer", Some(1))];
            let (refused, done) = import(&world, &lines, at_once).await;
            assert_eq!((refused, done.renamed_campaigns), (vec![], renamed));
        }
        assert_eq!(world.sql(names), "summer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_postgresql_does_not_take_for_lower_case_is_one_refused_line() {
    let world = World::new().await;
    let lines = [
        lead("spring", "ann@x.example"),
        // As it would be where the database knows the lower case of a letter that we do not know.
        lead("spring", "Ben@x.example"),
        lead("spring", "\u{130}@x.example"),
        lead("spring", &"\u{130}\u{1e9e}\u{3a3}@x.example".to_lowercase()),
        lead("spring", "cid@x.example"),
    ];
    let (refused, done) = import(&world, &lines, 100).await;
    assert_eq!(refused.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1, 2], "{refused:?}");
    assert!(refused.iter().all(|(_, why)| why.starts_with("email: ")), "{refused:?}");
    assert_eq!((done.new_leads, world.count("mailfleet.leads")), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_names_of_one_lead_count_once_however_far_apart_and_not_at_all_when_the_last_is_known() {
    let ann = |name| named(lead("dup", "a@x.example"), name);
    let ben = |name| id(named(lead("dup", "b@x.example"), name), 8);
    let lines = [ann("Anna"), ben("Bob"), ann("Anne"), ben("Ben"), ann("Ann")];
    let other = [ann("Anna"), ben("Ben"), ann("Ann"), ann("Anja")];
    for at_once in [1, 2, 3, 100] {
        let world = World::new().await;
        let (refused, done) = import(&world, &lines, at_once).await;
        let new = Imported { new_campaigns: 1, new_leads: 2, unchanged: 3, ..Imported::default() };
        assert_eq!((refused, done), (vec![], new), "{at_once} at once");
        let (refused, done) = import(&world, &lines, at_once).await;
        let unchanged = Imported { unchanged: 5, ..Imported::default() };
        assert_eq!((refused, done), (vec![], unchanged), "the same file again, {at_once} at once");
        let (refused, done) = import(&world, &other, at_once).await;
        let changed = Imported { changed_leads: 1, unchanged: 3, ..Imported::default() };
        assert_eq!((refused, done), (vec![], changed), "another last name, {at_once} at once");
        assert_eq!(world.sql("SELECT name FROM mailfleet.leads ORDER BY email"), "Anja\nBen");
    }
}
