//! The configuration file.

use std::fmt::Write;

use anyhow::{Context, Result, bail};

use super::{DovecotOptions, DovecotServer, LOOPBACK, PASSWORD};
use crate::programs::{self, Account};

/// dovecot.conf (Dovecot 2.3) for this server.
pub(super) fn render(server: &DovecotServer, options: &DovecotOptions) -> Result<String> {
    let mut text = String::new();
    general(&mut text, server)?;
    users(&mut text, server)?;
    tls(&mut text, options)?;
    services(&mut text, server)?;
    if let Some(capability) = &options.capability {
        if capability.contains(['\n', '\r']) {
            bail!("the capability override must be one line");
        }
        writeln!(text, "imap_capability = {capability}")?;
    }
    text.push_str(&options.extra);
    text.push('\n');
    Ok(text)
}

fn general(text: &mut String, server: &DovecotServer) -> Result<()> {
    let dir = server.dir.path().to_str().context("the server's directory has a name that is not UTF-8")?;
    if dir.contains(char::is_whitespace) {
        bail!(
            "Dovecot cannot be run in {dir}: its configuration allows no blanks in paths; choose another directory"
        );
    }
    writeln!(
        text,
        "base_dir = {base}\nstate_dir = {base}/state\nlog_path = {dir}/dovecot.log\nlog_timestamp = \"%Y-%m-%d \
         %H:%M:%S \"\nprotocols = imap\nlisten = {listen}\nlogin_greeting = {greeting}\n\
         mail_location = maildir:{dir}/mail/%u/Maildir\n\
         # Many sessions of one user from one address are what a test makes.\n\
         mail_max_userip_connections = 2000\ndefault_process_limit = 2000\ndefault_client_limit = 20000\n\
         # The kernel gives every user some 128 inotify instances, shared by all servers and other programs of the\n\
         # machine. A session that gets none looks at the mailbox itself, by default only every 30 seconds.\n\
         mailbox_idle_check_interval = 1 s",
        base = server.base_dir().display(),
        listen = if server.host == LOOPBACK {
            LOOPBACK.to_owned()
        } else {
            format!("{LOOPBACK}, {}", server.host)
        },
        greeting = server.greeting,
    )?;
    Ok(())
}

fn users(text: &mut String, server: &DovecotServer) -> Result<()> {
    let owner = &server.owner;
    let dir = server.dir.path().display();
    if !programs::is_root() {
        // Dovecot separates its parts by users, which only root can do; without root everything is one user.
        let me = Account::current()?;
        let group = me.group_name();
        writeln!(
            text,
            "default_internal_user = {0}\ndefault_internal_group = {group}\ndefault_login_user = {0}",
            me.name
        )?;
    }
    writeln!(
        text,
        "mail_uid = {uid}\nmail_gid = {gid}\nfirst_valid_uid = 1\nfirst_valid_gid = 0\n\
         # Names are taken as they are and wrong passwords answered at once.\n\
         auth_username_format = %u\nauth_failure_delay = 0\n\
         passdb {{\n  driver = static\n  args = password={PASSWORD}\n}}\n\
         userdb {{\n  driver = static\n  args = uid={uid} gid={gid} home={dir}/mail/%u\n}}",
        uid = owner.uid,
        gid = owner.gid,
    )?;
    Ok(())
}

fn tls(text: &mut String, options: &DovecotOptions) -> Result<()> {
    let Some(certificates) = &options.tls else {
        if options.require_tls {
            bail!("`require_tls` needs certificates in `tls`");
        }
        writeln!(text, "ssl = no\ndisable_plaintext_auth = no")?;
        return Ok(());
    };
    let (ssl, refuse_plain) = if options.require_tls { ("required", "yes") } else { ("yes", "no") };
    writeln!(
        text,
        "ssl = {ssl}\ndisable_plaintext_auth = {refuse_plain}\nssl_cert = <{}\nssl_key = <{}",
        certificates.certificate().display(),
        certificates.key().display()
    )?;
    Ok(())
}

fn services(text: &mut String, server: &DovecotServer) -> Result<()> {
    writeln!(
        text,
        "service imap-login {{\n  inet_listener imap {{\n    port = {}\n  }}\n  inet_listener imaps {{\n    port = {}\n    \
         ssl = {}\n  }}\n  # One process for all logins: the quick way, and none has to be started per connection.\n  \
         service_count = 0\n  process_min_avail = 1\n  client_limit = 5000\n{}}}",
        server.port,
        server.tls_port.unwrap_or(0),
        if server.tls_port.is_some() { "yes" } else { "no" },
        chroot(),
    )?;
    writeln!(
        text,
        "service imap {{\n  process_limit = 5000\n}}\nservice anvil {{\n{}  # No growing delays after wrong \
         passwords.\n  unix_listener anvil-auth-penalty {{\n    mode = 0\n  }}\n}}\nservice stats {{\n{}}}",
        chroot(),
        chroot(),
    )?;
    Ok(())
}

/// Changing the root directory takes root.
fn chroot() -> &'static str {
    if programs::is_root() { "" } else { "  chroot =\n" }
}
