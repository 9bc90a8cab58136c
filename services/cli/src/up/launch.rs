//! The command lines of the children.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::{
    Flags, Ports,
    supervise::{Kind, Role},
};
use crate::error::Error;

/// Everything that the command lines are made from.
#[derive(Debug)]
pub(super) struct Launcher {
    programs: PathBuf,
    data: PathBuf,
    instance: String,
    ports: Ports,
    log: String,
    tag_model: Option<PathBuf>,
    embed_model: Option<PathBuf>,
    runtime: Option<PathBuf>,
    device: Option<String>,
    /// Where the store listened first: it comes back there, so that the others find it.
    pub(super) store: Option<SocketAddr>,
    /// Folders to watch.
    pub(super) roots: Vec<PathBuf>,
}

impl Launcher {
    pub(super) fn new(flags: &Flags, data: &Path) -> Result<Self, Error> {
        let executable = std::env::current_exe().map_err(|source| Error::System {
            action: "find this program",
            source,
        })?;
        let beside = executable.parent().unwrap_or(Path::new("/"));
        let programs = flags.programs.clone().unwrap_or_else(|| beside.to_owned());
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Ok(Self {
            tag_model: flags.model.as_ref().map(absolute),
            embed_model: flags.embed_model.as_ref().map(absolute),
            programs,
            data: absolute(&data.to_owned()),
            instance: flags.instance(),
            ports: flags.ports,
            log: flags.log.clone(),
            runtime: flags.runtime.as_ref().map(absolute),
            device: flags.device.clone(),
            store: None,
            roots: Vec::new(),
        })
    }

    /// Name of this machine's node of a kind, beside which there may be others elsewhere.
    pub(super) fn node_name(&self, kind: Kind) -> String {
        format!("{}-{}", self.instance, kind.node())
    }

    /// Name of the watcher of this machine.
    pub(super) fn watcher_name(&self) -> &str {
        &self.instance
    }

    /// The command that starts a child.
    pub(super) fn command(&self, role: Role) -> Command {
        let program = match role {
            Role::Store => "kumo-store",
            Role::Watcher => "kumo-watcher",
            Role::Similarity => "kumo-similarity",
            Role::Registrar(Kind::Tag) | Role::Node(Kind::Tag) => "kumo-tagger",
            Role::Registrar(Kind::Embed) | Role::Node(Kind::Embed) => "kumo-embedder",
        };
        let mut command = Command::new(self.programs.join(program));
        // Flags are given by name; what the person's own shell says is for their commands.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"KUMO_") && is_shared(&name) {
                command.env_remove(name);
            }
        }
        command.arg("--data").arg(&self.data);
        command.args([
            "--log",
            &self.log,
            "--log-format",
            "json",
            "--end-with-parent",
            &std::process::id().to_string(),
        ]);
        self.listen(role, &mut command);
        match role {
            Role::Store => {
                command.args(["--instance", &self.instance]);
            }
            Role::Watcher => {
                command.args(["--instance", &self.instance]);
                self.store_flag(&mut command);
                command.arg("--").args(&self.roots);
            }
            Role::Similarity => {
                command.args(["--instance", &self.instance]);
                self.store_flag(&mut command);
            }
            Role::Registrar(kind) | Role::Node(kind) => {
                command.args(["--instance", &self.node_name(kind)]);
                self.store_flag(&mut command);
                self.inference(kind, &mut command);
                if role == Role::Registrar(kind) {
                    command.arg("--register-only");
                }
            }
        }
        command
    }

    fn store_flag(&self, command: &mut Command) {
        if let Some(store) = self.store {
            command.args(["--store", &format!("http://{store}")]);
        }
    }

    /// Without a model folder the program takes the built-in one.
    fn inference(&self, kind: Kind, command: &mut Command) {
        let model = match kind {
            Kind::Tag => &self.tag_model,
            Kind::Embed => &self.embed_model,
        };
        if let Some(model) = model {
            command.arg("--model").arg(model);
        }
        if let Some(runtime) = &self.runtime {
            command.arg("--runtime").arg(runtime);
        }
        if let Some(device) = &self.device {
            command.args(["--device", device]);
        }
    }

    fn listen(&self, role: Role, command: &mut Command) {
        let any = || SocketAddr::from(([127, 0, 0, 1], 0));
        let address = match (role, self.ports) {
            (Role::Store, Ports::Any) => self.store.unwrap_or_else(any),
            // A registrar listens nowhere that matters, and must not take the node's port.
            (Role::Registrar(_), _) | (_, Ports::Any) => any(),
            (Role::Store | Role::Watcher | Role::Similarity | Role::Node(_), Ports::Default) => {
                return;
            }
        };
        command.args([
            "--listen",
            &address.to_string(),
            "--admin-listen",
            &any().to_string(),
        ]);
    }
}

/// Variables of flags that every child would take for its own, each with another meaning.
fn is_shared(name: &OsString) -> bool {
    [
        "KUMO_LISTEN",
        "KUMO_ADMIN_LISTEN",
        "KUMO_DATA",
        "KUMO_INSTANCE",
        "KUMO_STORE",
        "KUMO_ROOTS",
        "KUMO_LOG",
        "KUMO_LOG_FORMAT",
        "KUMO_TOKEN_FILE",
        "KUMO_ADVERTISE",
    ]
    .iter()
    .any(|shared| name == shared)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        flags: Flags,
    }

    fn line(words: &[&str], role: Role) -> String {
        let words = ["up"].iter().chain(words);
        let flags = Alone::try_parse_from(words).expect("parses").flags;
        let mut launcher = Launcher::new(&flags, Path::new("/d")).expect("has a program");
        launcher.store = Some(([127, 0, 0, 1], 4444).into());
        launcher.roots = vec!["/pictures".into(), "-odd".into()];
        let command = launcher.command(role);
        let words = command
            .as_std()
            .get_args()
            .map(|word| word.to_string_lossy());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_store_on_any_port_comes_back_where_it_was() {
        let line = line(&["--ports", "any"], Role::Store);
        assert!(line.contains("--listen 127.0.0.1:4444 --admin-listen 127.0.0.1:0"));
        assert!(line.contains("--data /d") && line.contains("--end-with-parent"));
    }

    #[test]
    fn on_default_ports_nothing_is_said_of_them_but_to_the_registrar() {
        assert!(!line(&[], Role::Node(Kind::Tag)).contains("--listen"));
        let registrar = line(&["--runtime", "/r"], Role::Registrar(Kind::Tag));
        assert!(registrar.contains("--listen 127.0.0.1:0"));
        assert!(registrar.contains("--register-only") && registrar.contains("--runtime /r"));
    }

    #[test]
    fn a_folder_with_a_dash_is_a_folder() {
        let line = line(&["--instance", "den"], Role::Watcher);
        assert!(line.ends_with("-- /pictures -odd"), "{line}");
        assert!(line.contains("--instance den --store http://127.0.0.1:4444"));
    }

    #[test]
    fn each_kind_of_inference_has_its_own_program_name_and_model() {
        let flags = [
            "--instance",
            "den",
            "--model",
            "/wd",
            "--embed-model",
            "/clip",
        ];
        let tagger = line(&flags, Role::Node(Kind::Tag));
        assert!(tagger.contains("--instance den-tagger"), "{tagger}");
        assert!(tagger.contains("--model /wd") && !tagger.contains("/clip"));
        let embedder = line(&flags, Role::Registrar(Kind::Embed));
        assert!(embedder.contains("--instance den-embedder"), "{embedder}");
        assert!(embedder.contains("--model /clip") && !embedder.contains("/wd"));
        assert!(!line(&[], Role::Node(Kind::Embed)).contains("--model"));
        let similarity = line(&flags, Role::Similarity);
        assert!(similarity.contains("--store http://127.0.0.1:4444"));
        assert!(!similarity.contains("--model"), "{similarity}");
    }
}
