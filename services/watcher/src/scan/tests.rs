//! Disks mounted below a root, without the right to mount one: the root passes for lying on another
//! device than everything in it, and folders are put in the place of one another.

use std::{fs, path::PathBuf};

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::known::{Record, Row};

struct Bench {
    table: Table,
    root: RootId,
    top: TempDir,
    _runtime: Runtime,
}

impl Bench {
    fn new() -> Self {
        let top = tempfile::tempdir().expect("a folder");
        fs::create_dir(top.path().join("root")).expect("makes");
        let runtime = Runtime::new().expect("a runtime");
        let known = kit::Health::new().condition("known");
        let opening = Table::open(top.path().join("data"), known, kit::Shutdown::new());
        let (table, _) = runtime.block_on(opening).expect("opens");
        let root = table.ask_blocking(|known| known.root(b"/pictures"));
        Self {
            root: root.expect("adds").id,
            table,
            top,
            _runtime: runtime,
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.top.path().join(path)
    }

    /// The device of everything here.
    fn here(&self) -> u64 {
        self.see("").dev
    }

    fn base(&self) -> Base {
        let base = Base::open(&self.at("root")).expect("opens");
        let dev = base.identity().0;
        base.on_device(dev + 1_000)
    }

    fn place(&self, path: &str) -> Place {
        Place::new(self.root, path.as_bytes())
    }

    fn make(&self, path: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("is in a folder")).expect("makes");
        fs::write(&path, path.as_os_str().as_encoded_bytes()).expect("writes");
    }

    /// Puts another folder where a disk is mounted, and the one that was there aside. Files keep
    /// all their marks.
    fn swap(&self, out: &str, into: &str) {
        fs::rename(self.at("root/disk"), self.at(out)).expect("ejects");
        fs::rename(self.at(into), self.at("root/disk")).expect("inserts");
    }

    fn see(&self, path: &str) -> Stamp {
        let base = Base::open(&self.at("root")).expect("opens");
        base.stat(path.as_bytes()).expect("is there").1
    }

    fn record(&self, record: Record) {
        let recorded = self
            .table
            .ask_blocking(move |known| known.record(std::slice::from_ref(&record)));
        recorded.expect("records");
    }

    /// A file was seen, when its disk had the number `dev`.
    fn saw(&self, path: &str, stamp: Stamp, dev: u64) {
        let stamp = Stamp { dev, ..stamp };
        self.record(Record::Held(self.place(path), stamp, [1; 32]));
    }

    fn row(&self, path: &str) -> Row {
        let place = self.place(path);
        let compared = self
            .table
            .ask_blocking(move |known| known.compare_place(&place, &Stamp::default()));
        compared.expect("compares").row.expect("is known")
    }

    fn is_away(&self, path: &str) -> bool {
        self.row(path).stamp.dev > u64::from(u32::MAX)
    }

    /// Scans everything and remembers what it comes upon. What was found to be gone, and whether a
    /// disk was recognised.
    fn scan(&self) -> (Vec<String>, bool) {
        let last = self.table.ask_blocking(crate::known::Known::last_scan);
        let number = last.expect("counts") + 1;
        let scan = Scan::begin(&self.table, &self.place(""), Some(number));
        let mut scan = scan.expect("begins");
        loop {
            let step = scan.step(&self.table, &self.base(), None).expect("steps");
            for find in step.finds {
                match find {
                    Find::File(place, stamp, _) => {
                        self.record(Record::Held(place, stamp, [2; 32]));
                    }
                    Find::Unreadable(place, ..) => panic!("{} is there", place.display()),
                }
            }
            if step.done {
                return (self.absent(), scan.has_followed());
            }
        }
    }

    fn absent(&self) -> Vec<String> {
        let root = self.root;
        let absent = self
            .table
            .ask_blocking(move |known| known.absent(root, 1_000));
        let mut absent: Vec<String> = absent
            .expect("lists")
            .into_iter()
            .map(|(place, _)| place.display())
            .collect();
        absent.sort();
        absent
    }
}

#[test]
fn another_disk_with_the_same_number_takes_nothing_along_and_the_first_is_known_again() {
    let bench = Bench::new();
    for name in ["1.png", "2.png", "3.png"] {
        bench.make(&format!("root/disk/{name}"));
    }
    bench.make("two/1.png");
    bench.make("two/9.png");
    assert_eq!(bench.scan(), (vec![], false));
    bench.swap("one", "two");
    assert_eq!(bench.scan(), (vec![], false));
    assert!(bench.is_away("disk/2.png") && !bench.is_away("disk/9.png"));
    // What is deleted from a disk that is away is noticed when it returns.
    fs::remove_file(bench.at("one/3.png")).expect("removes");
    bench.swap("two", "one");
    assert_eq!(bench.scan(), (vec!["disk/3.png".to_owned()], true));
    assert!(bench.is_away("disk/9.png") && !bench.is_away("disk/2.png"));
}

#[test]
fn a_disk_that_gets_the_number_of_one_mounted_in_it_takes_nothing_along() {
    let bench = Bench::new();
    let here = bench.here();
    let before = here + 1;
    bench.make("root/disk/kept.png");
    fs::create_dir(bench.at("root/disk/inner")).expect("leaves the mount point");
    let kept = bench.see("disk/kept.png");
    let gone = Stamp { ino: 1, ..kept };
    bench.saw("disk/gone.png", gone, before);
    bench.saw("disk/inner/1.png", gone, here);
    // The file that is there is a new one: the disk cannot be recognised yet.
    assert_eq!(bench.scan(), (vec![], false));
    assert!(bench.is_away("disk/inner/1.png"));
    bench.saw("disk/kept.png", kept, before);
    assert_eq!(bench.scan(), (vec!["disk/gone.png".to_owned()], true));
    assert!(bench.is_away("disk/inner/1.png"));
}

#[test]
fn a_disk_is_known_again_though_another_has_its_old_number_now() {
    let bench = Bench::new();
    let (base, here) = (bench.base(), bench.here());
    let before = here + 1;
    bench.make("root/disk/kept.png");
    let kept = bench.see("disk/kept.png");
    bench.saw("disk/kept.png", kept, before);
    bench.saw("disk/gone.png", Stamp { ino: 1, ..kept }, before);
    let mut disks = Disks::new(bench.root);
    for dev in [before, here] {
        disks.meet(&bench.table, &base, dev).expect("meets");
    }
    let files = [(b"kept.png".to_vec(), kept)];
    let compared = [Compared {
        row: Some(bench.row("disk/kept.png")),
        twin: None,
    }];
    let followed = disks.follow(&bench.table, &base, &files, &compared);
    assert!(followed.expect("follows"));
    assert_eq!(bench.row("disk/gone.png").stamp.dev, here);
}

#[test]
fn a_disk_from_which_a_great_part_is_gone_is_still_there() {
    let bench = Bench::new();
    let files: Vec<String> = (0..100)
        .map(|number| format!("disk/{number:02}/a.png"))
        .collect();
    for path in &files {
        bench.make(&format!("root/{path}"));
        bench.saw(path, bench.see(path), bench.here());
    }
    for path in &files[..80] {
        fs::remove_file(bench.at(&format!("root/{path}"))).expect("removes");
    }
    assert_eq!(bench.scan(), (files[..80].to_vec(), false));
}

#[test]
fn a_root_that_was_learned_again_knows_its_disks() {
    let bench = Bench::new();
    let before = bench.here() + 1;
    bench.make("root/disk/kept.png");
    let kept = bench.see("disk/kept.png");
    let files = ["disk/kept.png", "disk/gone.png", "away/1.png"];
    for (path, dev) in files.iter().zip([before, before, before + 1]) {
        bench.saw(path, kept, dev);
    }
    fs::create_dir(bench.at("root/away")).expect("leaves the mount point");
    let root = bench.root;
    let forgotten = bench
        .table
        .ask_blocking(move |known| known.forget_root(root));
    forgotten.expect("forgets");
    let learned = Stamp::remembered(kept.size, kept.mtime_ns);
    for path in files {
        bench.record(Record::Held(bench.place(path), learned, [1; 32]));
    }
    assert_eq!(bench.scan(), (vec!["disk/gone.png".to_owned()], true));
}
