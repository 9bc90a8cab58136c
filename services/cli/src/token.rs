//! `kumo token`: makes, lists and revokes the tokens of people, programs and machines.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand};
use kit::{
    Credential, Scope,
    auth::{Grant, file},
};
use prost_types::Timestamp;
use serde_json::{Value, json};

use crate::{amount, error::Error, run::Session, terminal::Table};

/// Flags of `kumo token`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo token create phone --scope read --out phone.token
  kumo token create den --scope node --expires 365d
  kumo token list
  kumo token revoke phone

Works on the auth file of this machine (DATA/auth), whether the cluster runs or not; services that
use the file know within seconds what changed. Only hashes are kept: a token is shown once.
Scopes: read (see everything), write (what people change), node (inference nodes and watchers), scale
(how many nodes are needed), metrics (metrics and reflection), admin (everything).")]
pub(crate) struct Flags {
    #[command(subcommand)]
    what: What,

    /// The auth file, as the services' --auth-file; by default DATA/auth.
    #[arg(long, global = true, env = "KUMO_AUTH_FILE", value_name = "FILE")]
    auth_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a token and print it, once.
    Create(Create),
    /// List who has tokens, and for what.
    #[command(after_help = "JSON keys of each line: id, name, scopes [], expires, expired.")]
    List,
    /// Revoke tokens: they count no longer within seconds, also for calls in progress.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
#[command(after_help = "\
The token alone goes to stdout, so that it can be piped into a file or a Secret.
JSON keys: id, name, scopes [], expires, token (unless --out).")]
struct Create {
    /// Who gets it: letters, digits, `.`, `_`, `-`. A name may have several tokens.
    #[arg(value_name = "NAME", value_parser = kit::config::instance_name)]
    name: String,

    /// What it is good for.
    #[arg(long, value_name = "SCOPE", required = true, num_args = 1.., value_delimiter = ',')]
    scope: Vec<Scope>,

    /// When it stops counting: `90d`, `12h`, `30m`; by default never.
    #[arg(long, value_name = "AGE", value_parser = age)]
    expires: Option<Duration>,

    /// Write it to this new file, readable by you alone, instead of to stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "JSON keys of each line: as `kumo token list`.")]
struct Revoke {
    /// A name, for all its tokens, or the id of one, as `kumo token list` shows it.
    #[arg(value_name = "NAME|ID", required = true)]
    which: Vec<String>,
}

/// Reads an age in days, hours or minutes.
fn age(text: &str) -> Result<Duration, String> {
    let wrong = || "write a whole number and d, h or m, such as 90d".to_owned();
    let (digits, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let unit = match unit {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        _ => return Err(wrong()),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    match count.checked_mul(unit) {
        Some(seconds @ 60..=3_155_760_000) => Ok(Duration::from_secs(seconds)),
        _ => Err("must be between a minute and 100 years".to_owned()),
    }
}

pub(crate) fn run(flags: &Flags, session: &Session) -> Result<(), Error> {
    let usual = || session.global.data.join("auth");
    let path = flags.auth_file.clone().unwrap_or_else(usual);
    match &flags.what {
        What::Create(create) => make(create, &path, session),
        What::List => list(&path, session),
        What::Revoke(revoke) => take_back(revoke, &path, session),
    }
}

fn make(flags: &Create, path: &Path, session: &Session) -> Result<(), Error> {
    let credential = Credential::fresh().map_err(|source| Error::System {
        action: "make a token",
        source,
    })?;
    let mut scopes = flags.scope.clone();
    scopes.dedup();
    let grant = Grant {
        name: flags.name.as_str().into(),
        scopes: scopes.into(),
        hash: credential.hash(),
        expires: flags.expires.map(|age| SystemTime::now() + age),
    };
    // The token first: one that is known to the services and to nobody else helps nobody.
    if let Some(out) = &flags.out {
        credential.write(out).map_err(Error::file("make", out))?;
    }
    if let Err(error) = file::add(path, &grant) {
        if let Some(out) = &flags.out {
            // It was made above, and is good for nothing.
            let _ = std::fs::remove_file(out);
        }
        return Err(error.into());
    }
    let terminal = &session.terminal;
    if terminal.json() {
        let mut line = as_json(&grant);
        if flags.out.is_none() {
            line["token"] = credential.reveal().into();
        }
        return terminal.object(&line);
    }
    let (name, id) = (&grant.name, grant.id());
    match &flags.out {
        Some(out) => terminal.say(&format!("{} holds the token {id} of {name}", out.display())),
        None => {
            terminal.line(credential.reveal())?;
            terminal.hint(&format!(
                "this is the token {id} of {name}; it is not shown again"
            ));
        }
    }
    Ok(())
}

fn list(path: &Path, session: &Session) -> Result<(), Error> {
    let grants = match file::read(path) {
        Err(error) if error.is_missing() => Vec::new(),
        outcome => outcome?,
    };
    let terminal = &session.terminal;
    if grants.is_empty() && !terminal.json() {
        terminal.say(&format!("{} names nobody", path.display()));
        terminal.hint("`kumo token create NAME --scope read` makes a token");
        return Ok(());
    }
    show(&grants, session)
}

fn take_back(flags: &Revoke, path: &Path, session: &Session) -> Result<(), Error> {
    let known = file::read(path)?;
    let named = |grant: &Grant, which: &str| &*grant.name == which || grant.id() == which;
    let unknown = |which: &&String| !known.iter().any(|grant| named(grant, which));
    if let Some(which) = flags.which.iter().find(unknown) {
        return Err(Error::NoSuchThing(format!(
            "{which:?} is neither a name nor an id in {}; nothing was revoked. `kumo token list` \
             shows what is there",
            path.display()
        )));
    }
    let revoked = |grant: &Grant| flags.which.iter().any(|which| named(grant, which));
    let gone = file::revoke(path, revoked)?;
    let told = format!("{} revoked", amount::of(gone.len() as u64, "token"));
    if !session.terminal.json() {
        session.terminal.say(&told);
    }
    show(&gone, session)
}

fn show(grants: &[Grant], session: &Session) -> Result<(), Error> {
    if session.terminal.json() {
        let mut lines = grants.iter();
        return lines.try_for_each(|grant| session.terminal.object(&as_json(grant)));
    }
    let mut table = Table::new(["id", "name", "scopes", "expires"]);
    for grant in grants {
        let expires = match grant.expires {
            Some(time) if time <= SystemTime::now() => format!("{}, expired", rfc3339(time)),
            Some(time) => rfc3339(time),
            None => "never".to_owned(),
        };
        let scopes = grant.scope_names();
        table.row([
            grant.id(),
            grant.name.to_string(),
            scopes.join(", "),
            expires,
        ]);
    }
    session.terminal.table(&table)
}

fn as_json(grant: &Grant) -> Value {
    json!({
        "id": grant.id(),
        "name": &*grant.name,
        "scopes": grant.scope_names(),
        "expires": grant.expires.map(rfc3339),
        "expired": grant.expires.is_some_and(|time| time <= SystemTime::now()),
    })
}

fn rfc3339(time: SystemTime) -> String {
    let whole = Timestamp::from(time);
    Timestamp { nanos: 0, ..whole }.to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::age;

    #[test]
    fn ages_are_whole_numbers_of_a_unit() {
        assert_eq!(age("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(age("12h"), Ok(Duration::from_secs(12 * 3_600)));
        assert_eq!(age("1m"), Ok(Duration::from_secs(60)));
        for wrong in [
            "",
            "d",
            "90",
            "-1d",
            "0d",
            "1.5h",
            "90 d",
            "1é",
            "99999999999999999999d",
            "40000d",
        ] {
            assert!(age(wrong).is_err(), "{wrong:?}");
        }
    }
}
