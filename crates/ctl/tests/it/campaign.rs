//! Campaigns: imported whole or not at all, each bad line named.

use crate::fleet::Fleet;

const CSV: &str = "campaign,email,name,lead_id\nspring,Ann@Example.org,\"Ann, of the \"\"Mill\"\"\",\n\
                   spring,ben@example.org,,6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7d0001\nautumn,ann@example.org,,\n";

fn fleet() -> Fleet {
    let fleet = Fleet::new();
    fleet.run(&["tenant", "add", "acme"]).with_code(0);
    fleet
}

fn write(fleet: &Fleet, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = fleet.path(name);
    std::fs::write(&path, text).expect("written");
    path
}

fn leads(fleet: &Fleet) -> String {
    fleet.sql(
        "SELECT c.name, l.email, l.name FROM mailfleet.leads l JOIN mailfleet.campaigns c ON c.id = campaign_id ORDER BY 1, 2",
    )
}

#[test]
fn a_csv_file_is_imported_and_the_same_again_changes_nothing() {
    let fleet = fleet();
    let file = write(&fleet, "leads.csv", format!("\u{feff}{CSV}"));
    let dry = fleet.run(&["campaign", "import", &file, "--tenant", "acme", "--dry-run"]).with_code(0);
    assert!(dry.out.starts_with("would be imported: 2 new campaigns and 3 new leads"), "{}", dry.out);
    assert_eq!(leads(&fleet), "");

    let said = fleet.run(&["campaign", "import", &file, "--tenant", "acme", "--json"]).with_code(0).json();
    assert_eq!((&said[0]["imported"], &said[0]["new_leads"]), (&true.into(), &3.into()), "{said:?}");
    assert_eq!(
        leads(&fleet),
        "autumn|ann@example.org|\nspring|ann@example.org|Ann, of the \"Mill\"\nspring|ben@example.org|"
    );
    let again = fleet.run(&["campaign", "import", &file, "--tenant", "acme"]).with_code(0).out;
    assert!(again.contains("unchanged: 3 lines") && again.starts_with("imported: 0 new"), "{again}");

    let listed = fleet.run(&["campaign", "list", "--json"]).with_code(0).json();
    let listed: Vec<_> = listed.iter().map(|campaign| (&campaign["name"], &campaign["leads"])).collect();
    assert_eq!(listed, [(&"autumn".into(), &1.into()), (&"spring".into(), &2.into())]);
    let table = fleet.run(&["campaign", "list", "--tenant", "acme"]).with_code(0).out;
    assert!(table.contains("spring") && table.contains("acme"), "{table}");
}

#[test]
fn json_is_taken_as_an_array_and_as_lines() {
    let fleet = fleet();
    let array = r#"[{"campaign": "spring", "email": "ann@example.org"},
                    {"campaign": "spring", "email": "ben@example.org", "name": null}]"#;
    let lines = "{\"campaign\": \"autumn\", \"email\": \"ann@example.org\", \"name\": \"Ann {}\"}\n\n\
                 {\"campaign\": \"autumn\", \"email\": \"cid@example.org\"}\n";
    for (name, text) in [("array.json", array), ("lines.jsonl", lines)] {
        let file = write(&fleet, name, text);
        let said =
            fleet.run(&["campaign", "import", &file, "--tenant", "acme", "--json"]).with_code(0).json();
        assert_eq!(said[0]["new_leads"], 2, "{said:?}");
    }
    assert_eq!(
        leads(&fleet),
        "autumn|ann@example.org|Ann {}\nautumn|cid@example.org|\nspring|ann@example.org|\nspring|ben@example.org|"
    );
}

#[test]
fn bad_lines_are_named_and_nothing_goes_in_unless_they_are_skipped() {
    let fleet = fleet();
    let mut text =
        b"campaign,email,lead_id\nspring,ann@example.org,\nspring,nobody,\nspring,ben@example.org\n".to_vec();
    text.extend_from_slice(b",cid@example.org,\nspring,dan@example.org,17\nspring,\xff@example.org,\n");
    text.extend_from_slice(b"\"two\nlines\",eve@example.org,\nspring,fay@example.org,\n");
    let file = write(&fleet, "bad.csv", &text);
    let said = fleet.run(&["campaign", "import", &file, "--tenant", "acme"]).with_code(1);
    said.error_naming(&["nothing was imported", "6 of 8", "--skip-bad"]);
    for want in [
        "line 3: email: `nobody` is no address",
        "line 4: it has 2 fields where the header row has 3",
        "line 5: campaign: it is missing",
        "line 6: lead_id: `17` is no UUID",
        "line 7: email: it is not UTF-8",
        "line 8: campaign: it holds control characters",
    ] {
        assert!(said.err.contains(want), "{want} is missing in:\n{}", said.err);
    }
    assert_eq!(leads(&fleet), "");

    let said =
        fleet.run(&["campaign", "import", &file, "--tenant", "acme", "--skip-bad", "--json"]).with_code(0);
    let said = said.json();
    assert_eq!((said.len(), &said[0]["line"], &said[6]["bad"]), (7, &3.into(), &6.into()), "{said:?}");
    assert_eq!(leads(&fleet), "spring|ann@example.org|\nspring|fay@example.org|");

    // What contradicts PostgreSQL is named by its line as well.
    let other = "campaign,campaign_id,email\nspring,6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7d0009,gil@example.org\n";
    let other = write(&fleet, "other.csv", other);
    let said = fleet.run(&["campaign", "import", &other, "--tenant", "acme"]).with_code(1);
    assert!(said.err.contains("line 2: the campaign `spring` has the id"), "{}", said.err);
}

#[test]
fn a_file_that_cannot_be_an_import_is_refused_with_its_place() {
    let fleet = fleet();
    let open_quote = format!("campaign,email\nspring,\"ann@example.org\n{}", "x".repeat(200_000));
    for (name, text, words) in [
        ("a.csv", "campaign,mail\nx,y\n", &["line 1", "`mail`", "email"][..]),
        ("b.csv", "campaign\nx\n", &["line 1", "`email` is missing"]),
        ("c.csv", "", &["`campaign` is missing"]),
        ("d.csv", &open_quote, &["quote"]),
        ("e.json", "[{\"campaign\": \"x\", \"email\": \"a@b\"},\n", &["line 2", "cut off"]),
        ("f.json", "campaign,email\n", &["line 1", "object"]),
        ("g.txt", "x", &[".csv", ".json"]),
    ] {
        let file = write(&fleet, name, text);
        fleet.run(&["campaign", "import", &file, "--tenant", "acme"]).with_code(1).error_naming(words);
    }
    fleet
        .run(&["campaign", "import", "no-such.csv", "--tenant", "acme"])
        .with_code(1)
        .error_naming(&["no-such.csv"]);
    let file = write(&fleet, "h.csv", CSV);
    fleet
        .run(&["campaign", "import", &file, "--tenant", "nobody"])
        .with_code(1)
        .error_naming(&["nobody", "tenant list"]);
    assert_eq!(leads(&fleet), "");
}
