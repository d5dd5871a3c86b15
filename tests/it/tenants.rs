//! Whose mail it is.

use std::time::Duration;

use mailfleet_tests::Fleet;

fn to_domain(domain: &str, n: u32) -> Vec<u8> {
    format!(
        "Delivered-To: someone@{domain}\r\nFrom: a@lead.example\r\nTo: list@elsewhere.example\r\nSubject: s{n}\r\n\
         Message-ID: <{n}@{domain}>\r\n\r\nhello\r\n"
    )
    .into_bytes()
}

#[test]
fn mail_of_a_shared_account_belongs_to_the_tenant_of_its_domain_or_waits_dead_until_one_owns_it() {
    let fleet = Fleet::start();
    fleet.mailfleet(&["tenant", "add", "beta", "--domain", "beta.example"]);
    fleet.add_account("catchall", &["--shared"]);
    for (domain, n) in [("acme.example", 1), ("beta.example", 2), ("nobody.example", 3)] {
        fleet.dovecot.deliver("catchall", &to_domain(domain, n)).unwrap();
    }
    let _fleet = (fleet.producer(), fleet.consumer());
    fleet.wait_accounted(3, Duration::from_secs(30));
    let owners = "SELECT string_agg(m.subject || '=' || t.name, ' ' ORDER BY m.subject) FROM email_messages m \
                  JOIN mailfleet.tenants t ON t.id = m.tenant_id";
    assert_eq!(fleet.sql(owners), "s1=acme s2=beta");
    assert_eq!(fleet.sql("SELECT reason FROM mailfleet.dead_letters"), "unknown_tenant");

    // Replayed too early it is dead again, once; with the domain added it arrives.
    fleet.mailfleet(&["tenant", "add", "gamma", "--domain", "nobody.example"]);
    fleet.mailfleet(&["dead", "replay", "--reason", "unknown_tenant"]);
    mailfleet_testkit::eventually_blocking("the replayed mail", Duration::from_secs(20), || {
        (fleet.sql(owners) == "s1=acme s2=beta s3=gamma").then_some(())
    });
    assert_eq!(fleet.mailfleet(&["dead", "list", "--json"]).stdout, "", "an open letter is left");
    assert!(fleet.try_mailfleet(&["audit", "--older-than", "0"]).status.success());
}

#[test]
fn no_header_overrides_the_tenant_of_an_owned_account() {
    let fleet = Fleet::start();
    fleet.mailfleet(&["tenant", "add", "beta", "--domain", "beta.example"]);
    fleet.dovecot.deliver("inbox", &to_domain("beta.example", 1)).unwrap();
    let _fleet = (fleet.producer(), fleet.consumer());
    fleet.wait_accounted(1, Duration::from_secs(30));
    let owner = "SELECT t.name FROM email_messages m JOIN mailfleet.tenants t ON t.id = m.tenant_id";
    assert_eq!(fleet.sql(owner), "acme");
}
