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
    said.error_naming(&["nothing was imported", "7 of 9", "--skip-bad"]);
    for want in [
        "line 3: email: `nobody` is no bare address",
        "line 4: it has 2 fields where the header row has 3",
        "line 5: campaign: it is missing",
        "line 6: lead_id: `17` is no UUID",
        "line 7: email: it is not UTF-8",
        "line 8: a quoted field runs from here to line 9",
    ] {
        assert!(said.err.contains(want), "{want} is missing in:\n{}", said.err);
    }
    assert_eq!(leads(&fleet), "");

    let said =
        fleet.run(&["campaign", "import", &file, "--tenant", "acme", "--skip-bad", "--json"]).with_code(0);
    let said = said.json();
    assert_eq!((said.len(), &said[0]["line"], &said[6]["bad"]), (7, &3.into(), &7.into()), "{said:?}");
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
        ("d.csv", &open_quote, &["line 2", "quote", "close it"]),
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

#[test]
fn lines_are_numbered_as_an_editor_numbers_them() {
    let fleet = fleet();
    let lines = [
        "",
        "campaign,email,name",
        "",
        "spring,ann@example.org,",
        "",
        "spring,nobody,",
        "\"spring\",none,\"\"",
    ];
    for (ending, name) in [("\n", "lf.csv"), ("\r\n", "crlf.csv"), ("\r", "cr.csv")] {
        let file = write(&fleet, name, lines.join(ending));
        let args = ["campaign", "import", &file, "--tenant", "acme", "--json", "--dry-run"];
        let said = fleet.run(&args).with_code(1).json();
        let numbers: Vec<_> = said.iter().filter_map(|line| line["line"].as_u64()).collect();
        assert_eq!((numbers, &said[2]["lines"]), (vec![6, 7], &3.into()), "{name}: {said:?}");
    }
}

#[test]
fn a_quote_that_is_left_open_swallows_no_lines_unseen() {
    let fleet = fleet();
    let good = "spring,ann@example.org,\n".repeat(400);
    let import = |name: &str, text: String| {
        let file = write(&fleet, name, text);
        fleet.run(&["campaign", "import", &file, "--tenant", "acme", "--skip-bad", "--json"])
    };
    for (name, tail) in [("to-the-end.csv", ""), ("far.csv", "spring,ben@example.org,\"\n")] {
        let said = import(name, format!("campaign,email,name\nspring,eve@example.org,\"E\n{good}{tail}"));
        let said = said.with_code(1);
        said.error_naming(&["nothing was imported", "line 2", "a quote is opened here", "close it"]);
    }
    let cut_off = import("cut-off.csv", "campaign,email\nspring,\"ann@exam".to_owned()).with_code(1);
    cut_off.error_naming(&["line 2", "before the file ends"]);
    assert_eq!(leads(&fleet), "");

    // Closed again by chance, some lines on: what lies between is bad, and counted.
    let text = "campaign,email,name\nspring,eve@example.org,\"E\nspring,ann@example.org,\nspring,\"x\",\nspring,ben@example.org,\n";
    let said = import("near.csv", text.to_owned()).with_code(0).json();
    assert_eq!(
        (&said[0]["line"], &said[1]["lines"], &said[1]["bad"]),
        (&2.into(), &4.into(), &3.into()),
        "{said:?}"
    );
    assert_eq!(leads(&fleet), "spring|ben@example.org|");
}

#[test]
fn what_the_registration_refuses_as_an_address_the_import_refuses_too() {
    let fleet = fleet();
    let bad = ["a@x.example;b@x.example", "a@@x", "a@x.example <a@x.example>", "ann@"];
    let text = format!(
        "campaign,email\n{}\nspring,\u{130}nci@x.example\n",
        bad.map(|a| format!("spring,{a}")).join("\n")
    );
    let file = write(&fleet, "odd.csv", text);
    let said = fleet.run(&["campaign", "import", &file, "--tenant", "acme", "--skip-bad"]).with_code(0);
    for (number, address) in (2..).zip(bad) {
        assert!(said.err.contains(&format!("line {number}: email: `{address}`")), "{}", said.err);
    }
    assert_eq!(leads(&fleet), "spring|i\u{307}nci@x.example|");
}

#[test]
fn people_get_the_first_fifty_bad_lines_and_scripts_all() {
    let fleet = fleet();
    let file = write(&fleet, "bad.csv", format!("campaign,email\n{}", "spring,nobody\n".repeat(60)));
    let args = ["campaign", "import", &file, "--tenant", "acme"];
    let said = fleet.run(&args).with_code(1);
    assert_eq!(said.err.matches("is no bare address").count(), 50, "{}", said.err);
    assert!(
        said.err.contains("line 51: ") && said.err.contains("and 10 more bad lines; --json"),
        "{}",
        said.err
    );
    let said = fleet.run(&[&args[..], &["--json"]].concat()).with_code(1).json();
    let numbers: Vec<_> = said.iter().filter_map(|line| line["line"].as_u64()).collect();
    assert_eq!(numbers, (2..=61).collect::<Vec<u64>>());
}

#[test]
fn lines_of_one_lead_are_put_together_and_a_contradiction_is_named_by_its_line() {
    let fleet = fleet();
    let id = |n: u32| format!("6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7d000{n}");
    let text = format!(
        "campaign,email,name,lead_id,campaign_id\ndup,a@x.example,Ann,{1},{0}\ndup,a@x.example,,,\n\
         dup,a@x.example,,{2},\nsummer,a@x.example,,,{0}\n",
        id(0),
        id(1),
        id(2)
    );
    let file = write(&fleet, "dup.csv", text);
    let args = ["campaign", "import", &file, "--tenant", "acme"];
    let said = fleet.run(&args).with_code(1);
    for want in
        ["line 4: the lead a@x.example has the id", "line 5: the campaign", "is `dup` in a line before"]
    {
        assert!(said.err.contains(want), "{want} is missing in:\n{}", said.err);
    }
    assert_eq!(leads(&fleet), "");
    for new in [1, 0] {
        let said = fleet.run(&[&args[..], &["--skip-bad", "--json"]].concat()).with_code(0).json();
        let last = said.last().unwrap();
        let want = (&new.into(), &0.into(), &2.into());
        assert_eq!((&last["new_leads"], &last["renamed_campaigns"], &last["bad"]), want, "{said:?}");
    }
    let stands = fleet.sql("SELECT id, email, name FROM mailfleet.leads");
    assert_eq!(stands, format!("{}|a@x.example|Ann", id(1)));
}
