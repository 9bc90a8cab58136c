//! A folder, a store and a watcher between them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Parser;
use kit::{Context, client::Peer};
use kumo_watcher::Config;
use proto::media::v1::media_service_client::MediaServiceClient;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::store::{State, Store};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Folder, store, watcher.
pub(super) struct Den {
    pub(super) store: Store,
    pub(super) top: TempDir,
    pub(super) data: TempDir,
    more_flags: Vec<String>,
    watcher: Option<(Context, JoinHandle<Result<(), kumo_watcher::Error>>)>,
}

impl Den {
    /// All three, the folder empty.
    pub(super) async fn new() -> Self {
        let mut den = Self::without_watcher(Store::start());
        den.start().await;
        den
    }

    /// All three, with these flags beside the usual ones.
    pub(super) async fn with_flags(flags: &[&str]) -> Self {
        let mut den = Self::without_watcher(Store::start());
        den.more_flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        den.start().await;
        den
    }

    /// A folder and a store.
    pub(super) fn without_watcher(store: Store) -> Self {
        let den = Self {
            store,
            top: tempfile::tempdir().expect("a folder"),
            data: tempfile::tempdir().expect("a folder"),
            more_flags: Vec::new(),
            watcher: None,
        };
        fs::create_dir(den.root()).expect("makes");
        den
    }

    /// The folder that is watched.
    pub(super) fn root(&self) -> PathBuf {
        self.top.path().join("root")
    }

    /// A path in it.
    pub(super) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().join(path)
    }

    /// The table of known files.
    pub(super) fn table(&self) -> PathBuf {
        self.data.path().join("watcher/known.db")
    }

    /// Flags of the watcher.
    pub(super) fn flags(&self) -> Vec<String> {
        let text = |path: &Path| path.to_str().expect("is UTF-8").to_owned();
        let usual = [
            "kumo-watcher".to_owned(),
            text(&self.root()),
            format!("--store={}", self.store.address),
            format!("--data={}", text(self.data.path())),
            format!("--renderer={}", text(&renderer())),
            "--listen=127.0.0.1:0".to_owned(),
            "--admin-listen=127.0.0.1:0".to_owned(),
            "--instance=den".to_owned(),
        ];
        usual.into_iter().chain(self.more_flags.clone()).collect()
    }

    /// Starts the watcher.
    pub(super) async fn start(&mut self) {
        let config = Config::try_parse_from(self.flags()).expect("are flags");
        let listen = ([127, 0, 0, 1], 0).into();
        let cx = Context::open("watcher", config.shared.clone(), listen)
            .await
            .expect("opens");
        let watching = cx
            .tasks
            .spawn("watcher", kumo_watcher::serve(config, cx.clone()));
        self.watcher = Some((cx, watching));
    }

    /// Stops the watcher in order.
    pub(super) async fn stop(&mut self) {
        let (cx, watching) = self.watcher.take().expect("runs");
        cx.shutdown.begin();
        let ended = tokio::time::timeout(PATIENCE, watching)
            .await
            .expect("ends in time");
        ended.expect("does not panic").expect("ends well");
        cx.tasks.joined().await;
    }

    pub(super) fn cx(&self) -> &Context {
        &self.watcher.as_ref().expect("runs").0
    }

    /// A client of the watcher.
    pub(super) fn media(&self) -> MediaServiceClient<kit::client::Channel> {
        let cx = self.cx();
        let peer = Peer::new(&cx.local_addr().to_string(), &cx.credential).expect("an address");
        MediaServiceClient::new(peer.channel())
    }

    /// Waits until the store knows what it should.
    pub(super) async fn until(&self, what: &str, wanted: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            {
                let state = self.store.state();
                if wanted(&state) {
                    return;
                }
                assert!(
                    Instant::now() < deadline,
                    "{what} did not happen: there {:?}, missing {:?}, failed {:?}, not ready {:?}",
                    state.present(),
                    state.missing(),
                    state.failures,
                    self.watcher.as_ref().map(|(cx, _)| cx.health.reasons()),
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until everything was looked at and nothing is left to do.
    pub(super) async fn until_idle(&self) {
        let mut media = self.media();
        let request = proto::media::v1::WatchProgressRequest {};
        let answer = media.watch_progress(request).await.expect("answers");
        let mut stream = answer.into_inner();
        let idle = async {
            while let Some(now) = stream.message().await.expect("tells") {
                if now.first_scan_done && !now.scanning && now.pending == 0 {
                    return;
                }
            }
            unreachable!("the stream of progress ended");
        };
        tokio::time::timeout(PATIENCE, idle)
            .await
            .expect("becomes idle");
    }

    /// Looks at everything again and waits until that is done.
    pub(super) async fn rescan(&self) {
        self.media()
            .rescan(proto::media::v1::RescanRequest {})
            .await
            .expect("scans");
        self.until_idle().await;
    }

    /// Puts a whole picture in its place, as a careful program would.
    pub(super) fn place(&self, path: &str, seed: u32) {
        let draft = self.top.path().join(format!("draft-{seed}"));
        fs::write(&draft, picture(seed)).expect("writes");
        fs::rename(draft, self.at(path)).expect("renames");
    }
}

/// The renderer program that was built beside these tests.
pub(super) fn renderer() -> PathBuf {
    let test = std::env::current_exe().expect("has a path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("lies in target/PROFILE/deps");
    let renderer = folder.join("kumo-renderer");
    assert!(
        renderer.exists(),
        "{} is not there: build it with `cargo build -p kumo-renderer`",
        renderer.display()
    );
    renderer
}

/// A small PNG; another one for each seed.
pub(super) fn picture(seed: u32) -> Vec<u8> {
    let noise = |x: u32, y: u32| {
        let mut n = x.wrapping_mul(0x9e37_79b9)
            ^ y.wrapping_mul(0x85eb_ca6b)
            ^ seed.wrapping_mul(0xc2b2_ae35);
        n ^= n >> 15;
        n = n.wrapping_mul(0x2c1b_3c6d);
        n ^= n >> 12;
        n.to_le_bytes()
    };
    let image = image::RgbImage::from_fn(48, 32, |x, y| {
        let [r, g, b, _] = noise(x / 8, y / 8);
        image::Rgb([r, g, b])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, image::ImageFormat::Png)
        .expect("encodes");
    bytes.into_inner()
}

/// Everything that could be seen of a tree: names, kinds, sizes, times, links.
pub(super) fn tree(path: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut entries = Vec::new();
    let mut stack = vec![path.to_owned()];
    while let Some(path) = stack.pop() {
        let meta = fs::symlink_metadata(&path).expect("stats");
        entries.push(format!(
            "{} {:o} {} {} {}.{} {}.{}",
            path.display(),
            meta.mode(),
            meta.nlink(),
            meta.size(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
        ));
        if meta.is_dir() {
            stack.extend(
                fs::read_dir(&path)
                    .expect("lists")
                    .map(|entry| entry.expect("is read").path()),
            );
        }
    }
    entries.sort();
    entries
}
