//! Tokens that come, go and are good for little, as their owners feel it.

use super::{lifetime::listed, *};
use crate::auth::{Grant, file};

fn grant(name: &str, credential: &Credential, scope: Scope) -> Grant {
    Grant {
        name: name.into(),
        scopes: [scope].into(),
        hash: credential.hash(),
        expires: None,
    }
}

#[tokio::test]
async fn a_token_counts_soon_after_it_is_made_and_a_revoked_one_ends_its_stream() {
    let cluster = Cluster::start(&[]).await;
    let path = cluster.cx.data().join("auth");
    let credential = Credential::fresh().expect("made");
    let peer = cluster.peer(&credential);
    let watch = || async {
        let mut feed = FeedServiceClient::new(peer.channel());
        feed.watch_changes(WatchChangesRequest::default()).await
    };
    let refused = watch().await.map(drop).expect_err("nobody knows it");
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);

    file::add(&path, &grant("phone", &credential, Scope::Read)).expect("adds");
    let soon = Instant::now() + 5 * REFRESH;
    let mut stream = loop {
        match watch().await {
            Ok(stream) => break stream.into_inner(),
            Err(_) if Instant::now() < soon => tokio::time::sleep(REFRESH / 20).await,
            Err(status) => panic!("is still refused: {status:?}"),
        }
    };
    let first = stream.message().await.expect("is alive");
    assert!(first.is_some());
    file::revoke(&path, |grant| &*grant.name == "phone").expect("revokes");
    let ended = tokio::time::timeout(5 * REFRESH, stream.message()).await;
    let status = ended.expect("it ends").expect_err("and says why");
    assert_eq!(status.code(), tonic::Code::Unauthenticated, "{status:?}");
    assert!(watch().await.is_err());
}

#[tokio::test]
async fn the_first_administrator_may_everything_and_metrics_only_reflection() {
    let cluster = Cluster::start(&[]).await;
    cluster.cx.make_first_admin().expect("made");
    let path = cluster.cx.data().join("admin.token");
    let first = Credential::read(&path).expect("is there");
    let mut admin = AdminServiceClient::new(cluster.peer(&first).channel());
    admin.get_stats(GetStatsRequest {}).await.expect("answers");
    cluster.cx.make_first_admin().expect("is there already");
    assert_eq!(
        Credential::read(&path).expect("is there").hash(),
        first.hash()
    );

    let meter = Credential::fresh().expect("made");
    let auth = cluster.cx.data().join("auth");
    file::add(&auth, &grant("meter", &meter, Scope::Metrics)).expect("adds");
    cluster.cx.authority.refresh().expect("reads");
    let mut admin = AdminServiceClient::new(cluster.peer(&meter).channel());
    let refused = admin.get_stats(GetStatsRequest {}).await;
    let refused = refused.expect_err("is refused");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    assert!(refused.message().contains("scope read"), "{refused:?}");
    let names = listed!(v1, cluster.peer(&meter));
    assert!(
        names
            .iter()
            .any(|name| name == "kumo.store.v1.AdminService"),
        "{names:?}"
    );
}
