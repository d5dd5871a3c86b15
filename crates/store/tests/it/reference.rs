//! Tenants, domains and accounts.

use mailfleet_model::{AccountId, Class, Classify, Secret, SecretSource, TenantId, TlsMode};
use mailfleet_store::{Account, Error, NewAccount};
use uuid::Uuid;

use crate::support::{World, new_account};

fn domains(list: &[&str]) -> Vec<String> {
    list.iter().map(|domain| (*domain).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_has_one_owner_and_is_found_in_any_spelling() {
    let world = World::new().await;
    let other = TenantId(Uuid::from_u128(5));
    let added =
        world.store.add_tenant(Some(other), "other", &domains(&["Other.Example.", "bücher.example"])).await;
    assert_eq!(added.unwrap(), other);
    let asked =
        domains(&["ACME.example", "other.example", "sub.other.example", "BÜCHER.example", "nobody.example"]);
    let found = world.store.tenants_by_domain(&asked).await.unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(found["ACME.example"], world.tenant);
    assert_eq!((found["other.example"], found["BÜCHER.example"]), (other, other));

    // Another tenant's domain: named, with its owner, and nothing of the call is kept.
    let error =
        world.store.add_domains(world.tenant, &domains(&["new.example", "other.example"])).await.unwrap_err();
    assert_eq!(error.to_string(), "the domain `other.example` exists already (it belongs to tenant other)");
    assert!(world.store.tenants_by_domain(&domains(&["new.example"])).await.unwrap().is_empty());
    // One's own again is fine.
    world.store.add_domains(world.tenant, &domains(&["acme.example", "new.example"])).await.unwrap();
    let tenants = world.store.tenants().await.unwrap();
    assert_eq!(tenants.iter().map(|tenant| tenant.name.as_str()).collect::<Vec<_>>(), ["acme", "other"]);
    assert_eq!(tenants[0].domains, ["acme.example", "new.example"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_taken_or_unknown_are_said() {
    let world = World::new().await;
    let taken = world.store.add_tenant(None, "acme", &domains(&["x.example"])).await.unwrap_err();
    assert!(matches!(taken, Error::Taken { what: "tenant", .. }), "{taken}");
    let bad = world.store.add_tenant(None, "bad", &domains(&["user@x.example"])).await.unwrap_err();
    assert!(matches!(bad, Error::Invalid { what: "domain", .. }), "{bad}");
    assert_eq!(world.store.tenants().await.unwrap().len(), 1, "a refused tenant leaves nothing");

    let stranger = TenantId(Uuid::from_u128(77));
    let unknown = world.store.add_domains(stranger, &domains(&["x.example"])).await.unwrap_err();
    assert!(matches!(unknown, Error::Unknown { what: "tenant", .. }), "{unknown}");
    let unknown = world.store.add_account(new_account("x", Some(stranger))).await.unwrap_err();
    assert!(matches!(unknown, Error::Unknown { what: "tenant", .. }), "{unknown}");
    let taken = world.store.add_account(new_account("sales", None)).await.unwrap_err();
    assert_eq!(taken.to_string(), "the account `sales` exists already");
    let nowhere = world.store.mailbox(AccountId(Uuid::from_u128(1)), "INBOX").await.unwrap_err();
    assert!(matches!(nowhere, Error::Unknown { what: "account", .. }), "{nowhere}");
    for name in [String::new(), "x".repeat(1001)] {
        assert_eq!(world.store.mailbox(world.account, &name).await.unwrap_err().class(), Class::Data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_reads_back_as_it_was_added_and_holds_no_password() {
    let world = World::new().await;
    let mut shared = new_account("catch-all", None);
    shared.password = SecretSource::File("/run/secrets/imap".into());
    shared.ca_file = Some("/etc/ca.pem".into());
    shared.tls = TlsMode::StartTls;
    shared.mailboxes = domains(&["INBOX", "Junk"]);
    shared.recipient_from_to_cc = true;
    let id = world.store.add_account(shared.clone()).await.unwrap();
    let account = world.store.account_by_name("catch-all").await.unwrap().unwrap();
    assert_eq!((account.id, account.tenant, account.tls, account.port), (id, None, TlsMode::StartTls, 993));
    assert_eq!((&account.password, &account.ca_file), (&shared.password, &shared.ca_file));
    assert_eq!(
        (&account.mailboxes, account.recipient_from_to_cc, account.enabled),
        (&shared.mailboxes, true, true)
    );
    let names = async |enabled| {
        let accounts = world.store.accounts(enabled).await.unwrap();
        accounts.into_iter().map(|account| account.name).collect::<Vec<_>>()
    };
    assert_eq!(names(true).await, ["catch-all", "sales"]);
    assert!(world.store.set_account_enabled(id, false).await.unwrap());
    assert_eq!((names(true).await, names(false).await.len()), (domains(&["sales"]), 2));
    let sales = world.store.account_by_name("sales").await.unwrap().unwrap();
    assert_eq!((sales.mailboxes, sales.tenant), (domains(&["INBOX"]), Some(world.tenant)));

    let mut secret = new_account("secret", None);
    secret.password = SecretSource::Value(Secret::new("geheim"));
    let error = world.store.add_account(secret).await.unwrap_err();
    assert!(error.to_string().contains("name a file or an environment variable"), "{error}");
    assert!(!format!("{error:?}").contains("geheim"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_account_keeps_what_was_not_changed_and_is_refused_what_a_new_one_is() {
    let world = World::new().await;
    let id = world.account;
    let first = world.store.account_by_name("sales").await.unwrap().unwrap();
    assert!(world.store.set_account_enabled(id, false).await.unwrap());
    let changed = world.store.change_account(id, |account| {
        account.port = 143;
        account.password = SecretSource::File("/run/secrets/imap".into());
        // Who it is and whose it is stay.
        (account.name, account.tenant) = ("other".to_owned(), None);
    });
    let (before, after) = changed.await.unwrap().unwrap();
    assert_eq!(before, Account { enabled: false, ..first });
    let password = SecretSource::File("/run/secrets/imap".into());
    assert_eq!(after, Account { port: 143, password, ..before });
    assert_eq!(world.store.account_by_name("sales").await.unwrap(), Some(after.clone()));

    let refused: [fn(&mut NewAccount); 2] = [
        |account| account.password = SecretSource::Value(Secret::new("geheim")),
        |account| account.sent_mailboxes.push("INBOX".to_owned()),
    ];
    for change in refused {
        let error = world.store.change_account(id, change).await.unwrap_err();
        assert!(
            matches!(error, Error::Invalid { .. }) && !format!("{error:?}").contains("geheim"),
            "{error}"
        );
    }
    assert_eq!(world.store.account_by_name("sales").await.unwrap(), Some(after));
    assert_eq!(world.store.change_account(AccountId(Uuid::nil()), |_| ()).await.unwrap(), None);
}
