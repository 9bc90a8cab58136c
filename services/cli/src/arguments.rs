//! The commands and their flags.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use kit::{Credential, config::default_data};

use crate::{
    completions, contract, duplicates, edit, error::Error, post, predict, queue, records, rejected,
    retry, search, similar, status, tasks, token, trash, up,
};

/// The commands as a newcomer meets them.
const GROUPS: &str = "\
Run it:
  up           Run the whole cluster on this machine: watch folders, tag their pictures
  status       Show how the cluster is, and what to do about what is wrong

Find pictures:
  search       Find posts by tags, and by what they look like
  similar      Find the posts most like a post or a picture
  duplicates   List pictures that are there several times, nearly the same
  post         Show one post with its tags, files and predictions
  predict      Tag a picture now, without adding it to the library

Change what is known:
  edit         Add and remove tags, set ratings
  trash        Put posts into the trash
  restore      Take posts out of the trash
  purge        Forget posts in the trash for good
  rejected     List what was purged, or let it come back
  records      Store and show what other boorus say

Look after it:
  tasks        List tasks: what waits, what runs, what failed and why
  retry        Try again what failed
  pause        Stop handing out tasks
  resume       Hand out tasks again
  nodes        List inference nodes and watchers
  models       List the models and how far each is
  roots        List the watched folders
  memory       Show where the memory of every process goes
  token        Make, list and revoke tokens for other people and machines

For programs:
  proto        Write the contract, to make clients from
  completions  Print a script that completes `kumo` in your shell
  help         Print this, or the help of a command";

/// The default template with the commands in groups.
const TEMPLATE: &str = "\
{about-with-newline}
{usage-heading} {usage}

{before-help}Everywhere:
{options}{after-help}";

const EXAMPLES: &str = "\
Start here:
  kumo up ~/Pictures                          watch a folder, tag what is in it; Ctrl-C stops
  kumo status                                 how is everything, in another terminal
  kumo search blue_theme -monochrome          find pictures
  kumo similar new.jpg                        is it there already, or one like it?
  kumo post ~/Pictures/cloud.jpg              all about one picture
  kumo predict new.jpg                        tag a picture without adding it

Data goes to stdout, hints and progress to stderr. With --json, stdout has one object a line.
Exit codes: 0 ok, 1 check failed or no such thing, 64 usage, 69 store unreachable, 77 denied,
70 a service failed inside (its log says why).";

/// Kumobooru: a picture library that tags itself and is searched by tags.
#[derive(Debug, Parser)]
#[command(name = "kumo", version, before_help = GROUPS, after_help = EXAMPLES,
          help_template = TEMPLATE, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Flags of every command.
    #[command(flatten)]
    pub(crate) global: Global,

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Write one JSON object a line instead of tables.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Address of the store, http://HOST:PORT; by default that of the cluster in the data folder,
    /// else http://127.0.0.1:7801.
    #[arg(long, global = true, env = "KUMO_STORE", value_name = "ADDR")]
    pub(crate) store: Option<String>,

    /// Address of the similarity service; by default that beside the store in the data folder, else
    /// port 7804 of the store's machine.
    #[arg(long, global = true, env = "KUMO_SIMILARITY", value_name = "ADDR")]
    pub(crate) similarity: Option<String>,

    /// Folder where the cluster of this machine keeps everything.
    #[arg(long, global = true, env = "KUMO_DATA", value_name = "DIR",
          default_value_os_t = default_data())]
    pub(crate) data: PathBuf,

    /// Token to show; by default that of this machine's owner, DATA/local.token.
    #[arg(long, global = true, env = "KUMO_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

impl Global {
    /// What to show to the cluster.
    pub(crate) fn credential(&self) -> Result<Credential, Error> {
        if let Some(path) = &self.token_file {
            return Ok(Credential::read(path)?);
        }
        let path = self.data.join("local.token");
        match Credential::read(&path) {
            Err(error) if error.is_missing() => Err(Error::NeverStarted(self.data.clone())),
            other => Ok(other?),
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole cluster on this machine: watch folders, catalogue and tag their pictures.
    Up(up::Flags),
    /// Show how the cluster is, and what to do about what is wrong.
    Status(status::Flags),
    /// Find posts by tags, and by what they look like.
    Search(search::Flags),
    /// Find the posts most like a post or a picture.
    Similar(similar::Flags),
    /// List pictures that are there several times, nearly the same.
    Duplicates(duplicates::Flags),
    /// Show one post with its tags, files and predictions.
    Post(post::Flags),
    /// Tag a picture now, without adding it to the library.
    Predict(predict::Flags),
    /// Add and remove tags, set ratings: what a person says always wins.
    Edit(edit::Flags),
    /// Put posts into the trash: they are found no more, and nothing is forgotten.
    Trash(trash::TrashFlags),
    /// Take posts out of the trash.
    Restore(trash::RestoreFlags),
    /// Forget posts in the trash for good, and reject their content.
    Purge(trash::PurgeFlags),
    /// List contents that were purged and do not come back, or let them.
    Rejected(rejected::Flags),
    /// Store and show what other boorus say of posts.
    Records(records::Flags),
    /// List tasks: what waits, what runs, what failed and why.
    Tasks(tasks::Flags),
    /// Try again what failed.
    Retry(retry::Flags),
    /// Show where the memory of every process goes.
    #[command(after_help = crate::memory::HELP)]
    Memory,
    /// Make, list and revoke tokens for other people and machines.
    Token(token::Flags),
    /// List the watched folders.
    #[command(after_help = crate::roots::HELP)]
    Roots,
    /// List the models and how far each is.
    #[command(after_help = crate::models::HELP)]
    Models,
    /// List the inference nodes and watchers.
    #[command(after_help = crate::nodes::HELP)]
    Nodes,
    /// Stop handing out tasks; what runs may finish. Survives a restart.
    Pause(queue::PauseFlags),
    /// Hand out tasks again.
    Resume(queue::ResumeFlags),
    /// Write the contract (.proto files), so that clients in any language can be made from it.
    Proto(contract::Flags),
    /// Print a script that completes `kumo` in your shell.
    Completions(completions::Flags),
}

/// Lets `kumo search a -b` and `kumo edit 12 -b` mean what they say: an argument of these that starts
/// with one dash excludes a tag, it is no flag. A space in front makes it a word for the parser, and
/// means nothing in a query.
pub(crate) fn query_terms(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    let Some(command) = command_position(&arguments) else {
        return arguments;
    };
    if arguments[command] != "search" && arguments[command] != "edit" {
        return arguments;
    }
    for argument in &mut arguments[command + 1..] {
        let bytes = argument.as_encoded_bytes();
        let excludes = bytes.len() > 1 && bytes[0] == b'-' && bytes[1] != b'-';
        if excludes && argument != "-h" {
            let mut word = OsString::from(" ");
            word.push(&*argument);
            *argument = word;
        }
    }
    arguments
}

/// Where the command stands, behind flags of every command.
fn command_position(arguments: &[OsString]) -> Option<usize> {
    let mut position = 1;
    loop {
        let argument = arguments.get(position)?;
        let takes_value = ["--store", "--similarity", "--data", "--token-file"]
            .iter()
            .any(|flag| argument == flag);
        position += match argument.as_encoded_bytes().starts_with(b"-") {
            true if takes_value => 2,
            true => 1,
            false => return Some(position),
        };
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &[&str]) -> Arguments {
        let words = words.iter().map(OsString::from);
        Arguments::try_parse_from(query_terms(words)).expect("parses")
    }

    #[test]
    fn the_flags_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_dash_excludes_a_tag_in_a_search_and_flags_stay_flags() {
        let arguments = parse(&[
            "kumo", "--data", "/d", "search", "a", "-b", "--json", "--limit", "5", "-c",
        ]);
        assert!(arguments.global.json);
        let Command::Search(flags) = arguments.command else {
            panic!("a search");
        };
        assert_eq!((flags.query().as_str(), flags.limit), ("a -b -c", 5));
    }

    #[test]
    fn a_dash_removes_a_tag_in_an_edit_wherever_it_stands() {
        for words in [
            &["kumo", "edit", "12", "-h", "-wet", "+b", "--json"][..],
            &[
                "kumo", "--json", "edit", "12", "-wet", "--reset", "c", "-qq", "rating:g",
            ],
        ] {
            let parsed = Arguments::try_parse_from(query_terms(words.iter().map(OsString::from)));
            if words.contains(&"-h") {
                let kind = parsed.expect_err("is help").kind();
                assert_eq!(kind, clap::error::ErrorKind::DisplayHelp);
            } else {
                let arguments = parsed.expect("parses");
                assert!(arguments.global.json);
                assert!(matches!(arguments.command, Command::Edit(_)));
            }
        }
    }

    #[test]
    fn the_first_help_names_every_command_once() {
        let mut named: Vec<&str> = GROUPS
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
            .filter(|name| *name != "help")
            .collect();
        named.sort_unstable();
        let command = Arguments::command();
        let mut known: Vec<&str> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        known.sort_unstable();
        assert_eq!(named, known);
    }

    #[test]
    fn a_folder_named_search_is_a_folder() {
        let words = ["kumo", "up", "search", "-x"].map(OsString::from);
        assert!(Arguments::try_parse_from(query_terms(words.into_iter())).is_err());
    }

    #[test]
    fn every_command_teaches_by_examples() {
        for command in Arguments::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let example = format!("kumo {}", command.get_name());
            assert!(help.contains(&example), "{}: {help}", command.get_name());
        }
    }
}
