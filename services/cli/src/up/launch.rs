//! The command lines of the children.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::{Flags, Ports, supervise::Role};
use crate::error::Error;

/// Everything that the command lines are made from.
#[derive(Debug)]
pub(super) struct Launcher {
    programs: PathBuf,
    data: PathBuf,
    instance: String,
    ports: Ports,
    log: String,
    model: Option<PathBuf>,
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
            model: flags
                .model
                .as_ref()
                .map(absolute)
                .or_else(|| built_in_model(&programs)),
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

    /// Name of the tagger of this machine: a node, beside which there may be others.
    pub(super) fn tagger_name(&self) -> String {
        format!("{}-tagger", self.instance)
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
            Role::Registrar | Role::Tagger => "kumo-tagger",
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
            Role::Registrar | Role::Tagger => {
                command.args(["--instance", &self.tagger_name()]);
                self.store_flag(&mut command);
                self.inference(role, &mut command);
            }
        }
        command
    }

    fn store_flag(&self, command: &mut Command) {
        if let Some(store) = self.store {
            command.args(["--store", &format!("http://{store}")]);
        }
    }

    fn inference(&self, role: Role, command: &mut Command) {
        if let Some(model) = &self.model {
            command.arg("--model").arg(model);
        }
        if let Some(runtime) = &self.runtime {
            command.arg("--runtime").arg(runtime);
        }
        if let Some(device) = &self.device {
            command.args(["--device", device]);
        }
        if role == Role::Registrar {
            command.arg("--register-only");
        }
    }

    fn listen(&self, role: Role, command: &mut Command) {
        let any = || SocketAddr::from(([127, 0, 0, 1], 0));
        let address = match (role, self.ports) {
            (Role::Store, Ports::Any) => self.store.unwrap_or_else(any),
            // A registrar listens nowhere that matters, and must not take the tagger's port.
            (Role::Registrar, _) | (_, Ports::Any) => any(),
            (Role::Store | Role::Watcher | Role::Tagger, Ports::Default) => return,
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

/// The model that comes with the program: installed under a prefix, or in the source folder that
/// the program was built in. Without one the tagger looks for itself.
fn built_in_model(programs: &Path) -> Option<PathBuf> {
    let prefix = programs.parent().map(|p| p.join("share/kumobooru/models"));
    let source = programs
        .ancestors()
        .nth(2)
        .map(|source| source.join("services/inference/models"));
    [prefix, source]
        .into_iter()
        .flatten()
        .map(|models| models.join("palette-tagger"))
        .find(|model| model.join("model.toml").is_file())
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
        assert!(!line(&[], Role::Tagger).contains("--listen"));
        let registrar = line(&["--runtime", "/r"], Role::Registrar);
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
    fn a_built_program_finds_the_model_of_its_source_folder() {
        let source = tempfile::tempdir().expect("a folder");
        let model = source
            .path()
            .join("services/inference/models/palette-tagger");
        std::fs::create_dir_all(&model).expect("makes");
        let programs = source.path().join("target/debug");
        assert_eq!(built_in_model(&programs), None);
        std::fs::write(model.join("model.toml"), "").expect("writes");
        assert_eq!(built_in_model(&programs), Some(model));
    }
}
