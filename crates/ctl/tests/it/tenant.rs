//! Migrations and tenants.

use crate::fleet::Fleet;

#[test]
fn migrate_can_be_run_again() {
    let fleet = Fleet::bare();
    let first = fleet.run(&["migrate"]).with_code(0);
    assert!(first.out.contains("applied"), "{}", first.out);
    let second = fleet.run(&["migrate"]).with_code(0);
    assert!(second.out.contains("nothing to do"), "{}", second.out);
    assert_eq!(fleet.sql("SELECT count(*) FROM email_messages"), "0");
}

#[test]
fn a_hierarchy_table_with_a_wrong_column_is_named_with_what_was_expected() {
    let fleet = Fleet::bare();
    fleet.sql("CREATE TABLE attachments (id uuid PRIMARY KEY, parent_storage_key text, size_bytes text)");
    fleet.run(&["migrate"]).with_code(1).error_naming(&["attachments.size_bytes", "text"]);
}

#[test]
fn a_command_before_migrate_says_to_migrate() {
    let fleet = Fleet::bare();
    fleet.run(&["tenant", "list"]).with_code(1).error_naming(&["mailfleet migrate"]);
}

#[test]
fn tenants_are_listed_with_their_domains() {
    let fleet = Fleet::new();
    fleet.run(&["tenant", "list"]).with_code(0);
    fleet.run(&["tenant", "add", "acme", "--domain", "ACME.example"]).with_code(0);
    let id = "6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7d0001";
    let said = fleet.run(&["tenant", "add", "globex", "--id", id, "--json"]).with_code(0);
    assert_eq!(said.json()[0]["id"], id);
    fleet.run(&["tenant", "domain", "add", "acme", "acme.test"]).with_code(0);
    let listed = fleet.run(&["tenant", "list", "--json"]).with_code(0).json();
    let acme = listed.iter().find(|tenant| tenant["name"] == "acme").expect("acme");
    assert_eq!(acme["domains"], serde_json::json!(["acme.example", "acme.test"]));
    let table = fleet.run(&["tenant", "list"]).with_code(0).out;
    assert!(
        table.contains("acme.example, acme.test") && table.contains(id) && !table.contains('─'),
        "{table}"
    );
}

#[test]
fn a_name_or_domain_that_is_taken_is_said_so() {
    let fleet = Fleet::new();
    fleet.run(&["tenant", "add", "acme", "--domain", "acme.example"]).with_code(0);
    fleet.run(&["tenant", "add", "acme"]).with_code(1).error_naming(&["acme"]);
    fleet
        .run(&["tenant", "add", "globex", "--domain", "acme.example"])
        .with_code(1)
        .error_naming(&["acme.example"]);
    fleet
        .run(&["tenant", "domain", "add", "initech", "i.example"])
        .with_code(1)
        .error_naming(&["initech", "tenant list"]);
}
