//! `mailfleet webhook`: the addresses under which providers report what became of our messages.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Subcommand};
use mailfleet_model::SecretSource;
use mailfleet_store::{ListedEndpoint, NewEndpoint, Store};
use mailfleet_webhooks::{Provider, Trust};
use serde_json::json;

use crate::commands::{tenant, values};
use crate::context::Context;
use crate::failure::{self, Exit};
use crate::output::{self, OutputArgs, Rows};

/// Addresses under which providers report delivery events
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(AddArgs),
    /// List the endpoints, with what an operator has to do about each
    ///
    /// TO DO says why calls cannot be verified (a secret that the producer cannot read or use), until one is verified again; else
    /// what the last call asks for. LAST CALL is the last one that was taken.
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Take the calls of an endpoint (again)
    Enable {
        /// The endpoint's name
        name: String,
    },
    /// Take no calls of an endpoint any more; it answers like one that never was
    Disable {
        /// The endpoint's name
        name: String,
    },
}

/// Add an endpoint, and show its address, once
///
/// The address holds a token and is a secret; it cannot be shown again. The secret that calls are verified with is never
/// given here: name the file or the environment variable that the producer reads it from. It is read for each call, so it
/// can be changed without a restart; a shared secret may have several lines, each of them good, while it is being changed.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("secret").required(true).args(["secret_file", "secret_env"]),
    after_help = "Examples:\n  \
    mailfleet webhook add --tenant acme --provider postal --name acme-postal --secret-file /run/secrets/postal.pem\n  \
    mailfleet webhook add --tenant acme --provider mailgun --name acme-mailgun --secret-env MAILFLEET_SECRET_MAILGUN\n  \
    mailfleet webhook add --tenant acme --provider ses-sns --name acme-ses --secret-file /run/secrets/sns.pem \\\n      \
        --topic-arn arn:aws:sns:eu-west-1:123456789012:ses-events"
)]
struct AddArgs {
    /// The tenant whose messages are reported on, by name or id
    #[arg(long)]
    tenant: String,
    /// Who calls
    #[arg(long, value_parser = providers())]
    provider: Known,
    /// A name, unique among the endpoints
    #[arg(long, value_parser = values::name)]
    name: String,
    /// File that holds the secret (or public key, or certificate), as the producer sees it
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Environment variable of the producer that holds it; begin its name with MAILFLEET_SECRET_
    #[arg(long, value_name = "VARIABLE", value_parser = secret_variable)]
    secret_env: Option<String>,
    /// ses-sns: the topic whose messages are taken
    #[arg(long, value_name = "ARN", value_parser = topic)]
    topic_arn: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// A provider that there is.
#[derive(Clone, Copy)]
struct Known(&'static dyn Provider);

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

/// Those there are, by name.
fn providers() -> impl TypedValueParser<Value = Known> {
    PossibleValuesParser::new(mailfleet_webhooks::all().iter().map(|provider| provider.name()))
        .try_map(|name| provider(&name))
}

fn provider(text: &str) -> Result<Known, String> {
    mailfleet_webhooks::by_name(text)
        .map(Known)
        .ok_or_else(|| format!("there is no provider `{text}`; give {}", mailfleet_webhooks::names()))
}

/// A variable with the prefix of settings would be taken for a misspelt one, and the producer would not start.
fn secret_variable(text: &str) -> Result<String, String> {
    let name = values::variable(text)?;
    if name.starts_with("MAILFLEET_") && !name.starts_with("MAILFLEET_SECRET_") {
        return Err("a variable of your own begins with MAILFLEET_SECRET_, or without MAILFLEET_".to_owned());
    }
    Ok(name)
}

fn topic(text: &str) -> Result<String, String> {
    let plain = text.len() <= 300 && text.chars().all(|c| c.is_ascii_graphic());
    if plain
        && text.starts_with("arn:")
        && text.split(':').count() == 6
        && text.split(':').nth(2) == Some("sns")
    {
        return Ok(text.to_owned());
    }
    Err("a topic is named like arn:aws:sns:eu-west-1:123456789012:ses-events".to_owned())
}

/// Runs a `webhook` command.
pub async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::Add(args) => add(context, args).await,
        Command::List { output } => list(&context.store()?, output).await,
        Command::Enable { name } => switch(&context.store()?, &name, true).await,
        Command::Disable { name } => switch(&context.store()?, &name, false).await,
    }
}

async fn add(context: &Context, args: AddArgs) -> anyhow::Result<Exit> {
    let provider = args.provider.0;
    match (provider.needs_topic(), &args.topic_arn) {
        (true, None) => bail!("{} needs --topic-arn: messages of other topics are refused", provider.name()),
        (false, Some(_)) => {
            let with: Vec<&str> = mailfleet_webhooks::all()
                .iter()
                .filter(|one| one.needs_topic())
                .map(|one| one.name())
                .collect();
            bail!("{} has no topics, only {} has: leave --topic-arn out", provider.name(), with.join(", "))
        }
        _ => {}
    }
    let secret = match (&args.secret_file, args.secret_env) {
        (Some(file), _) => SecretSource::File(
            std::path::absolute(file).with_context(|| format!("cannot make {} absolute", file.display()))?,
        ),
        (None, variable) => SecretSource::Env(variable.unwrap_or_default()),
    };
    check(context, provider, &secret, args.topic_arn.as_deref())?;
    let store = context.store()?;
    let endpoint = NewEndpoint {
        tenant: tenant::find(&store, &args.tenant).await?,
        provider: provider.name().to_owned(),
        name: args.name.clone(),
        secret,
        topic: args.topic_arn,
    };
    let token = store.add_endpoint(&endpoint).await?;
    let path = format!("/webhooks/{}/{}", provider.name(), token.expose());
    if args.output.json {
        output::json(&json!({ "name": args.name, "provider": provider.name(), "path": path }))?;
        return Ok(Exit::Clean);
    }
    output::line(format_args!("endpoint {} added. Its path is a secret and is shown only now:", args.name))?;
    output::line(format_args!("  {path}"))?;
    output::line(format_args!(
        "Give the provider the address https://YOUR-HOST{}, where YOUR-HOST leads to the producer's `webhooks.listen`. \
         Calls are verified with {}.",
        path.replace(token.expose(), "…"),
        provider.secret()
    ))?;
    if provider.needs_topic() {
        output::line(
            "When the topic has called once, `mailfleet webhook list` shows the address that confirms it.",
        )?;
    }
    Ok(Exit::Clean)
}

/// A secret that stands here is checked here; one that stands with the producer alone is a hint and no error.
fn check(
    context: &Context,
    provider: &dyn Provider,
    secret: &SecretSource,
    topic: Option<&str>,
) -> anyhow::Result<()> {
    let read = match secret {
        SecretSource::File(file) => {
            std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
        }
        SecretSource::Env(name) => {
            std::env::var(name).map(String::into_bytes).map_err(|_| format!("{name} is not set"))
        }
        SecretSource::Value(_) => return Ok(()),
    };
    let secret = match read {
        Ok(secret) => secret,
        Err(problem) => {
            failure::note(&format!("{problem} here; the producer must be able to read it"));
            return Ok(());
        }
    };
    let now_ms = context.now().timestamp_millis();
    let trust = Trust { secret: &secret, topic, now_ms, skew_seconds: 300 };
    provider
        .usable(&trust)
        .map_err(|refusal| anyhow::anyhow!("{refusal}; {} needs {}", provider.name(), provider.secret()))
}

async fn list(store: &Store, output: OutputArgs) -> anyhow::Result<Exit> {
    let endpoints = store.endpoints().await?;
    let tenants = store.tenants().await?;
    let owner = |listed: &ListedEndpoint| {
        let id = listed.endpoint.tenant;
        tenants
            .iter()
            .find(|tenant| tenant.id == id)
            .map_or_else(|| id.to_string(), |tenant| tenant.name.clone())
    };
    if output.json {
        for listed in &endpoints {
            let endpoint = &listed.endpoint;
            output::json(&json!({
                "id": endpoint.id.to_string(), "name": endpoint.name, "provider": endpoint.provider,
                "tenant_id": endpoint.tenant, "secret": place(&endpoint.secret), "topic_arn": endpoint.topic,
                "enabled": endpoint.enabled, "last_call": listed.last_call, "note": listed.note,
            }))?;
        }
        return Ok(Exit::Clean);
    }
    let mut rows = Rows::new(&["NAME", "PROVIDER", "TENANT", "SECRET", "ENABLED", "LAST CALL", "TO DO"]);
    for listed in &endpoints {
        rows.push([
            listed.endpoint.name.clone(),
            listed.endpoint.provider.clone(),
            owner(listed),
            place(&listed.endpoint.secret),
            if listed.endpoint.enabled { "yes" } else { "no" }.to_owned(),
            listed.last_call.map_or_else(|| "never".to_owned(), |at| at.format("%F %T").to_string()),
            listed.note.clone().unwrap_or_default(),
        ]);
    }
    rows.print("no endpoint yet: mailfleet webhook add --help")?;
    Ok(Exit::Clean)
}

/// Where the secret is; never the secret.
fn place(secret: &SecretSource) -> String {
    match secret {
        SecretSource::File(file) => file.display().to_string(),
        SecretSource::Env(name) => format!("${name}"),
        SecretSource::Value(_) => "[redacted]".to_owned(),
    }
}

async fn switch(store: &Store, name: &str, enabled: bool) -> anyhow::Result<Exit> {
    if !store.set_endpoint_enabled(name, enabled).await? {
        bail!("there is no endpoint `{name}`; `mailfleet webhook list` shows those there are");
    }
    output::line(format_args!("endpoint {name} is {}", if enabled { "enabled" } else { "disabled" }))?;
    Ok(Exit::Clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_would_be_taken_for_a_setting_is_refused() {
        for good in ["MAILFLEET_SECRET_POSTAL", "POSTAL_KEY"] {
            assert!(secret_variable(good).is_ok(), "{good}");
        }
        assert!(secret_variable("MAILFLEET_POSTAL").is_err_and(|error| error.contains("MAILFLEET_SECRET_")));
    }

    #[test]
    fn a_topic_and_a_provider_are_known_by_their_form() {
        assert!(topic("arn:aws:sns:eu-west-1:123456789012:ses-events").is_ok());
        for bad in ["ses-events", "arn:aws:sqs:eu-west-1:123456789012:x", "arn:aws:sns:eu-west-1:1:a b", ""] {
            assert!(topic(bad).is_err(), "{bad}");
        }
        assert!(provider("postal").is_ok());
        assert!(provider("postcard").is_err_and(|error| error.contains("generic, postal, mailgun")));
    }
}
