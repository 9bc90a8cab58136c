//! Who is let in, and who is not.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

use super::*;

const HOME: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
const AWAY: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("writes");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("sets the mode");
}

fn named(path: &Path) -> Sources {
    let auth_file = Source::named_or(Some(path), path.to_owned());
    Sources {
        auth_file: Some(auth_file),
        ..Sources::default()
    }
}

fn grant(name: &str, credential: &Credential, scopes: &[Scope]) -> Grant {
    Grant {
        name: name.into(),
        scopes: scopes.into(),
        hash: credential.hash(),
        expires: None,
    }
}

fn shown(authority: &Authority, credential: &Credential) -> Result<Principal, Refusal> {
    authority.identify(Some(credential.header().as_bytes()), AWAY)
}

#[test]
fn the_local_owner_is_let_in_from_loopback_alone() {
    let data = folder();
    let credential = Credential::local(data.path()).expect("made");
    let authority = Authority::load(Sources {
        local: Some(credential.clone()),
        ..Sources::default()
    })
    .expect("loads");
    let header = credential.header();
    let owner = authority
        .identify(Some(header.as_bytes()), HOME)
        .expect("is let in");
    assert!(owner.may(Scope::Node) && owner.may(Scope::Admin));
    let from_afar = authority.identify(Some(header.as_bytes()), AWAY);
    assert_eq!(from_afar, Err(Refusal::NotLocal));
    assert_eq!(
        authority.identify(Some(header.as_bytes()), None),
        Err(Refusal::NotLocal)
    );
    assert_eq!(authority.identify(None, HOME), Err(Refusal::Missing));
    assert_eq!(
        authority.identify(Some(b"Bearer wrong"), HOME),
        Err(Refusal::Unknown)
    );
    assert_eq!(
        authority.identify(Some(b"Basic abc"), HOME),
        Err(Refusal::Missing)
    );
}

#[test]
fn the_token_is_made_once_and_private() {
    let data = folder();
    let made: Vec<[u8; 32]> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| Credential::local(data.path()).expect("made").hash()))
            .collect();
        makers
            .into_iter()
            .map(|maker| maker.join().expect("joins"))
            .collect()
    });
    assert!(made.iter().all(|hash| hash == &made[0]));
    let path = data.path().join("local.token");
    let mode = fs::metadata(&path).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        fs::read_dir(data.path()).expect("lists").count(),
        1,
        "no drafts are left"
    );

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("sets");
    assert!(matches!(
        Credential::local(data.path()),
        Err(Error::TooOpen { .. })
    ));
}

#[test]
fn the_auth_file_gives_scopes_and_nothing_more() {
    let data = folder();
    let path = data.path().join("auth");
    let hash = crate::hex::encode(&Sha256::digest("a-long-enough-token"));
    write(
        &path,
        &format!("# nodes\n\nden node,read sha256:{hash}\n"),
        0o600,
    );
    let authority = Authority::load(named(&path)).expect("loads");
    let den = authority
        .identify(Some(b"Bearer a-long-enough-token"), AWAY)
        .expect("is let in");
    assert_eq!(&*den.name, "den");
    assert!(den.may(Scope::Node) && den.may(Scope::Read));
    assert!(!den.may(Scope::Write) && !den.may(Scope::Admin));
}

#[test]
fn a_malformed_auth_file_names_its_line() {
    let data = folder();
    let path = data.path().join("auth");
    for (text, problem) in [
        ("den node", "2 fields"),
        ("den node sha256:00 expires:never more", "5 fields"),
        ("de/n node sha256:00", "de/n"),
        ("den fly sha256:00", "no scope"),
        ("den node sha256:00", "64 lower-case"),
        ("den node plaintexttoken", "64 lower-case"),
    ] {
        write(&path, &format!("# first\n{text}\n"), 0o600);
        let error = Authority::load(named(&path))
            .expect_err("is refused")
            .to_string();
        assert!(
            error.contains("line 2") && error.contains(problem),
            "{error}"
        );
    }
    let hash = crate::hex::encode(&Sha256::digest("a-long-enough-token"));
    write(
        &path,
        &format!("den node sha256:{hash} expires:soon"),
        0o600,
    );
    let error = Authority::load(named(&path)).expect_err("is refused");
    assert!(
        error.to_string().contains("2027-01-31T00:00:00Z"),
        "{error}"
    );
}

#[test]
fn a_file_that_others_can_read_or_a_group_can_change_is_refused() {
    let data = folder();
    let path = data.path().join("auth");
    for mode in [0o604, 0o620, 0o610, 0o644] {
        write(&path, "", mode);
        let refused = Authority::load(named(&path));
        assert!(matches!(refused, Err(Error::TooOpen { .. })), "{mode:o}");
    }
    // As Kubernetes mounts a Secret for a group.
    write(&path, "", 0o440);
    Authority::load(named(&path)).expect("is accepted");
}

#[test]
fn a_file_that_was_named_must_be_there_the_usual_one_need_not() {
    let data = folder();
    let path = data.path().join("auth");
    let missing = Authority::load(named(&path)).expect_err("is refused");
    assert!(missing.to_string().contains("auth"), "{missing}");
    let usual = Sources {
        auth_file: Some(Source::named_or(None, path.clone())),
        admin: Some(Source::named_or(None, data.path().join("admin.token"))),
        ..Sources::default()
    };
    let authority = Authority::load(usual).expect("loads");
    let (den, admin) = (
        Credential::fresh().expect("made"),
        Credential::fresh().expect("made"),
    );
    assert_eq!(shown(&authority, &den), Err(Refusal::Unknown));
    file::add(&path, &grant("den", &den, &[Scope::Read])).expect("adds");
    admin
        .write(&data.path().join("admin.token"))
        .expect("writes");
    assert_eq!(
        shown(&authority, &den),
        Err(Refusal::Unknown),
        "not read again yet"
    );
    authority.refresh().expect("reads");
    assert!(
        shown(&authority, &den)
            .expect("is let in")
            .may(Scope::Metrics)
    );
    assert!(
        shown(&authority, &admin)
            .expect("is let in")
            .may(Scope::Node)
    );
}

#[test]
fn what_is_revoked_counts_no_longer_and_comments_stay() {
    let data = folder();
    let path = data.path().join("auth");
    write(&path, "# the den\n", 0o600);
    let [one, two, other] = [(); 3].map(|()| Credential::fresh().expect("made"));
    file::add(&path, &grant("den", &one, &[Scope::Node])).expect("adds");
    file::add(&path, &grant("den", &two, &[Scope::Node, Scope::Read])).expect("adds");
    file::add(&path, &grant("phone", &other, &[Scope::Read])).expect("adds");
    let authority = Authority::load(named(&path)).expect("loads");
    for credential in [&one, &two, &other] {
        shown(&authority, credential).expect("is let in");
    }
    let id = grant("den", &one, &[]).id();
    let gone = file::revoke(&path, |grant| grant.id() == id).expect("revokes");
    assert_eq!((gone.len(), &*gone[0].name), (1, "den"));
    authority.refresh().expect("reads");
    assert_eq!(shown(&authority, &one), Err(Refusal::Unknown));
    shown(&authority, &two).expect("another token of the same name counts");
    let gone = file::revoke(&path, |grant| &*grant.name == "den").expect("revokes");
    assert_eq!(gone.len(), 1);
    assert!(
        file::revoke(&path, |grant| &*grant.name == "den")
            .expect("asks")
            .is_empty()
    );
    authority.refresh().expect("reads");
    assert_eq!(shown(&authority, &two), Err(Refusal::Unknown));
    shown(&authority, &other).expect("is let in");
    let text = fs::read_to_string(&path).expect("reads");
    assert!(
        text.starts_with("# the den\n") && text.lines().count() == 2,
        "{text}"
    );
    assert_eq!(
        fs::read_dir(data.path()).expect("lists").count(),
        1,
        "no drafts are left"
    );
    let mode = fs::metadata(&path).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_file_stays_with_whoever_runs_the_services() {
    use std::os::unix::fs::{MetadataExt, chown};
    let data = folder();
    let path = data.path().join("auth");
    // Only root can give a file away; anybody else is whoever runs the services.
    let service = match rustix::process::geteuid().is_root() {
        true => 12_345,
        false => rustix::process::geteuid().as_raw(),
    };
    chown(data.path(), Some(service), None).expect("gives the folder away");
    for name in ["den", "phone"] {
        let credential = Credential::fresh().expect("made");
        file::add(&path, &grant(name, &credential, &[Scope::Read])).expect("adds");
        let metadata = fs::metadata(&path).expect("is there");
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (service, 0o600));
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("sets");
    file::revoke(&path, |grant| &*grant.name == "den").expect("revokes");
    let metadata = fs::metadata(&path).expect("is there");
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (service, 0o640));
}

#[test]
fn an_expired_token_is_told_so() {
    let data = folder();
    let path = data.path().join("auth");
    let credential = Credential::fresh().expect("made");
    let mut grant = grant("den", &credential, &[Scope::Node]);
    for (expires, expected) in [(-3_600_i64, Some(Refusal::Expired)), (3_600, None)] {
        let now = SystemTime::now();
        let by = Duration::from_secs(expires.unsigned_abs());
        grant.expires = Some(if expires < 0 { now - by } else { now + by });
        let _ = fs::remove_file(&path);
        file::add(&path, &grant).expect("adds");
        let authority = Authority::load(named(&path)).expect("loads");
        assert_eq!(shown(&authority, &credential).err(), expected);
    }
}

#[test]
fn a_file_spoiled_later_changes_nothing_and_is_told_of_once() {
    let data = folder();
    let path = data.path().join("auth");
    let credential = Credential::fresh().expect("made");
    file::add(&path, &grant("den", &credential, &[Scope::Node])).expect("adds");
    let authority = Authority::load(named(&path)).expect("loads");
    write(&path, "den fly\n", 0o600);
    let error = authority.refresh().expect_err("is told");
    assert!(error.to_string().contains("line 1"), "{error}");
    authority.refresh().expect("is not told again");
    shown(&authority, &credential).expect("is still let in");
    fs::remove_file(&path).expect("removes");
    assert!(authority.refresh().is_err());
    shown(&authority, &credential).expect("is still let in");
    let refused = file::add(&path, &grant("a/b", &credential, &[Scope::Read]));
    assert!(
        matches!(refused, Err(Error::Line { .. })),
        "what cannot be read is not written"
    );
    assert!(!path.exists());
}

#[tokio::test]
async fn whoever_is_revoked_is_dismissed_and_others_stay() {
    let data = folder();
    let path = data.path().join("auth");
    let [one, two, short] = [(); 3].map(|()| Credential::fresh().expect("made"));
    file::add(&path, &grant("one", &one, &[Scope::Read])).expect("adds");
    file::add(&path, &grant("two", &two, &[Scope::Read])).expect("adds");
    let brief = Grant {
        expires: Some(SystemTime::now() + Duration::from_millis(1_500)),
        ..grant("short", &short, &[Scope::Read])
    };
    file::add(&path, &brief).expect("adds");
    let authority = Arc::new(Authority::load(named(&path)).expect("loads"));
    let stay = |credential: &Credential| {
        let principal = shown(&authority, credential).expect("is let in");
        let changes = authority.changes();
        Box::pin(authority.clone().dismissed(changes, principal, AWAY))
    };
    let moment = Duration::from_millis(20);
    let (first, mut second, mut third) = (stay(&one), stay(&two), stay(&short));
    tokio::pin!(first);
    assert!(tokio::time::timeout(moment, &mut first).await.is_err());
    file::revoke(&path, |grant| &*grant.name == "one").expect("revokes");
    authority.refresh().expect("reads");
    assert_eq!(first.await, Refusal::Unknown);
    let mut ended = None;
    for _ in 0..500 {
        authority.refresh().expect("reads");
        if let Ok(refusal) = tokio::time::timeout(moment, &mut third).await {
            ended = Some(refusal);
            break;
        }
    }
    assert_eq!(ended, Some(Refusal::Expired));
    assert!(tokio::time::timeout(moment, &mut second).await.is_err());
}
