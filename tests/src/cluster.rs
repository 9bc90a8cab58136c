//! One machine on a temporary folder: the real programs, started, killed and asked as users would.

mod ask;
mod program;

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

pub use ask::Store;
pub use program::Program;

use crate::wait;

/// A machine with a library folder and a data folder. Everything on it ends with it.
#[derive(Debug)]
pub struct Machine {
    folder: TempDir,
    store_port: u16,
}

impl Machine {
    /// An empty machine.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        fs::create_dir(folder.path().join("library")).expect("a folder can be made");
        // The port is chosen once, so that a store that comes back is found where it was.
        let free = TcpListener::bind("127.0.0.1:0").expect("some port is free");
        let store_port = free.local_addr().expect("is bound").port();
        Self { folder, store_port }
    }

    /// The folder that is watched.
    #[must_use]
    pub fn library(&self) -> PathBuf {
        self.folder.path().join("library")
    }

    /// The folder where the programs keep everything.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Address of the store.
    #[must_use]
    pub fn store_address(&self) -> String {
        format!("127.0.0.1:{}", self.store_port)
    }

    /// A command for one of our programs with this machine's data folder.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(binary(program));
        command.arg("--data").arg(self.data());
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command
    }

    /// A `kumo` command: the verb first, then where this machine's data lies.
    #[must_use]
    pub fn kumo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("kumo"));
        command.args(arguments).arg("--data").arg(self.data());
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command
    }

    /// Starts a service and waits until it listens.
    #[must_use]
    pub fn start(&self, role: &'static str, flags: &[&str]) -> Program {
        let mut command = self.command(&format!("kumo-{role}"));
        command.args([
            "--log-format",
            "human",
            "--log",
            "info",
            "--instance",
            "here",
        ]);
        let listen = match role {
            "store" => self.store_address(),
            _ => "127.0.0.1:0".to_owned(),
        };
        command.args(["--listen", &listen, "--admin-listen", "127.0.0.1:0"]);
        command.args(flags);
        Program::spawn(role, command, &self.data())
    }

    /// Starts the store and waits until it listens.
    #[must_use]
    pub fn start_store(&self) -> Program {
        self.start("store", &[])
    }

    /// Starts the watcher on the library.
    #[must_use]
    pub fn start_watcher(&self) -> Program {
        let library = self.library();
        let library = library
            .to_str()
            .expect("temporary folders have UTF-8 names");
        self.start("watcher", &["--store", &self.store_address(), library])
    }

    /// Starts the tagger with the built-in model.
    #[must_use]
    pub fn start_tagger(&self) -> Program {
        self.start("tagger", &["--store", &self.store_address()])
    }

    /// A client of the store. The store must have been started once.
    #[must_use]
    pub fn store(&self) -> Store {
        Store::new(&self.store_address(), &self.data())
    }

    /// Writes a file into the library in one go.
    pub fn drop_file(&self, name: impl AsRef<Path>, bytes: &[u8]) -> PathBuf {
        let path = self.library().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("a folder can be made");
        }
        fs::write(&path, bytes).expect("the library can be written");
        path
    }

    /// Waits until the library holds `posts` posts and nothing is left to do.
    pub fn settle(&self, posts: u64, seconds: u64) {
        let store = self.store();
        wait::until(&format!("{posts} posts are done"), seconds, || {
            let stats = store.stats()?;
            let left = stats.tasks_queued + stats.tasks_leased + stats.tasks_parked;
            let done = stats.posts == posts && left + stats.backfill_left == 0;
            if done && stats.posts_done == posts {
                Ok(())
            } else {
                Err(format!("{stats:?}"))
            }
        });
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

/// The folder `target/PROFILE` that this test program lies in.
#[must_use]
pub fn programs() -> PathBuf {
    let this = std::env::current_exe().expect("a running program has a path");
    let deps = this.parent().expect("test programs lie in a folder");
    let profile = if deps.ends_with("deps") {
        deps.parent()
    } else {
        Some(deps)
    };
    profile.expect("deps/ lies in a profile folder").to_owned()
}

/// Path of one of our programs, built with the same profile as this test.
#[must_use]
pub fn binary(program: &str) -> PathBuf {
    let path = programs().join(program);
    assert!(
        path.exists(),
        "{} is not built; run `make tests`, which builds the programs first",
        path.display()
    );
    path
}
