//! The server as clients see it: who is let in, what a panic or a late answer looks like.

mod lifetime;
mod tokens;

use std::{net::SocketAddr, pin::Pin, time::Instant};

use clap::Parser;
use futures_util::{Stream, StreamExt, stream};
use proto::{
    node::v1::{GetProcessRequest, process_service_client::ProcessServiceClient},
    store::v1::{
        GetStatsRequest, GetStatsResponse, WatchChangesRequest, WatchChangesResponse,
        admin_service_client::AdminServiceClient,
        admin_service_server::{AdminService, AdminServiceServer},
        feed_service_client::FeedServiceClient,
        feed_service_server::{FeedService, FeedServiceServer},
    },
};
use tonic::{Request as Call, Response as Reply, Status};

use super::*;
use crate::{auth::Credential, client, code, config::Shared, trace::TraceContext};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    shared: Shared,
}

/// Handlers that do what the metadata key `do` says.
#[derive(Clone)]
struct Odd;

#[tonic::async_trait]
impl AdminService for Odd {
    async fn get_stats(
        &self,
        request: Call<GetStatsRequest>,
    ) -> Result<Reply<GetStatsResponse>, Status> {
        let what = request
            .metadata()
            .get("do")
            .map(|value| value.as_bytes().to_vec());
        match what.as_deref() {
            Some(b"panic") => panic!("planted"),
            Some(b"sleep") => tokio::time::sleep(Duration::from_secs(60)).await,
            _ => {}
        }
        let traced = crate::trace::current().is_some();
        let owner = &*principal(&request).name == "owner";
        Ok(Reply::new(GetStatsResponse {
            posts: u64::from(traced && owner),
            ..Default::default()
        }))
    }
}

#[tonic::async_trait]
impl FeedService for Odd {
    type WatchChangesStream =
        Pin<Box<dyn Stream<Item = Result<WatchChangesResponse, Status>> + Send>>;

    async fn watch_changes(
        &self,
        request: Call<WatchChangesRequest>,
    ) -> Result<Reply<Self::WatchChangesStream>, Status> {
        let first = stream::iter([Ok(WatchChangesResponse::default())]);
        let rest: Self::WatchChangesStream = if request.metadata().contains_key("panic") {
            Box::pin(stream::once(async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                panic!("planted")
            }))
        } else {
            Box::pin(stream::pending())
        };
        Ok(Reply::new(Box::pin(first.chain(rest))))
    }
}

struct Cluster {
    cx: Context,
    _data: tempfile::TempDir,
}

impl Cluster {
    async fn start(flags: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let folder = data.path().to_str().expect("is UTF-8");
        let base = [
            "test",
            "--listen",
            "127.0.0.1:0",
            "--instance",
            "here",
            "--data",
            folder,
        ];
        let flags = Flags::parse_from(base.iter().chain(flags));
        let cx = Context::open("test", flags.shared, ([127, 0, 0, 1], 0).into())
            .await
            .expect("opens");
        let serving = cx.clone();
        cx.tasks.spawn("serve", async move {
            let api = Api::new()
                .scopes(&[
                    ("/kumo.store.v1.AdminService/GetStats", Scope::Read),
                    ("/kumo.store.v1.FeedService/WatchChanges", Scope::Read),
                ])
                .add(AdminServiceServer::new(Odd))
                .add(FeedServiceServer::new(Odd));
            serving.serve(api).await.expect("serves");
        });
        Self { cx, _data: data }
    }

    fn peer(&self, credential: &Credential) -> client::Peer {
        client::Peer::new(&self.cx.local_addr().to_string(), credential).expect("an address")
    }

    fn admin(&self) -> AdminServiceClient<client::Channel> {
        AdminServiceClient::new(self.peer(&self.cx.credential).channel())
    }

    fn feed(&self) -> FeedServiceClient<client::Channel> {
        FeedServiceClient::new(self.peer(&self.cx.credential).channel())
    }
}

fn doing(what: &'static str) -> Call<GetStatsRequest> {
    let mut call = Call::new(GetStatsRequest {});
    call.metadata_mut()
        .insert("do", what.parse().expect("a value"));
    call
}

#[tokio::test]
async fn a_call_has_a_principal_and_a_trace() {
    let cluster = Cluster::start(&[]).await;
    let stats = cluster
        .admin()
        .get_stats(GetStatsRequest {})
        .await
        .expect("answers");
    assert_eq!(stats.into_inner().posts, 1);
    let context = TraceContext::new_root();
    let mut admin = cluster.admin();
    let traced = crate::trace::scope(context, admin.get_stats(GetStatsRequest {})).await;
    assert!(traced.is_ok());
}

#[tokio::test]
async fn strangers_and_missing_scopes_are_told_apart() {
    let data = tempfile::tempdir().expect("a folder");
    let auth_file = data.path().join("auth");
    let stranger = Credential::local(data.path()).expect("made");
    let token = std::fs::read_to_string(data.path().join("local.token")).expect("reads");
    let hash = <sha2::Sha256 as sha2::Digest>::digest(token.trim());
    let line = format!("reader node sha256:{}\n", crate::hex::encode(&hash));

    let closed = Cluster::start(&[]).await;
    let refused = AdminServiceClient::new(closed.peer(&stranger).channel())
        .get_stats(GetStatsRequest {})
        .await
        .expect_err("is refused");
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);

    std::fs::write(&auth_file, line).expect("writes");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&auth_file, private).expect("sets");
    let known = Cluster::start(&["--auth-file", auth_file.to_str().expect("UTF-8")]).await;
    let refused = AdminServiceClient::new(known.peer(&stranger).channel())
        .get_stats(GetStatsRequest {})
        .await
        .expect_err("is refused");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    assert_eq!(code::reason(&refused).as_deref(), Some("SCOPE_MISSING"));
}

#[tokio::test]
async fn a_panic_is_internal_in_a_call_and_in_a_stream() {
    let cluster = Cluster::start(&[]).await;
    let status = cluster
        .admin()
        .get_stats(doing("panic"))
        .await
        .expect_err("fails");
    assert_eq!(status.code(), tonic::Code::Internal);
    assert!(!status.message().contains("planted"));

    let mut call = Call::new(WatchChangesRequest::default());
    call.metadata_mut()
        .insert("panic", "1".parse().expect("a value"));
    let mut changes = cluster
        .feed()
        .watch_changes(call)
        .await
        .expect("begins")
        .into_inner();
    assert!(
        changes
            .message()
            .await
            .expect("the first message")
            .is_some()
    );
    let status = changes.message().await.expect_err("then fails");
    assert_eq!(status.code(), tonic::Code::Internal);
    assert!(
        cluster.admin().get_stats(GetStatsRequest {}).await.is_ok(),
        "others are served"
    );
}

#[tokio::test]
async fn a_deadline_is_deadline_exceeded_on_both_sides() {
    let cluster = Cluster::start(&[]).await;
    let begun = Instant::now();
    let mut call = doing("sleep");
    call.set_timeout(Duration::from_millis(100));
    let status = cluster.admin().get_stats(call).await.expect_err("is late");
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded, "{status:?}");

    // A client that does not watch the time itself is told so by the server.
    let plain = transport_client(cluster.cx.local_addr()).await;
    let mut call = doing("sleep");
    call.metadata_mut()
        .insert("grpc-timeout", "100m".parse().expect("a value"));
    let header = cluster.cx.credential.header();
    let value = header.to_str().expect("ASCII").parse().expect("a value");
    call.metadata_mut().insert("authorization", value);
    let status = AdminServiceClient::new(plain)
        .get_stats(call)
        .await
        .expect_err("is late");
    assert!(
        matches!(
            status.code(),
            tonic::Code::DeadlineExceeded | tonic::Code::Cancelled
        ),
        "tonic's own client may notice first and call it CANCELLED: {status:?}"
    );

    let mut call = Call::new(WatchChangesRequest::default());
    call.set_timeout(Duration::from_millis(200));
    let mut changes = cluster
        .feed()
        .watch_changes(call)
        .await
        .expect("begins")
        .into_inner();
    assert!(
        changes
            .message()
            .await
            .expect("the first message")
            .is_some()
    );
    let status = changes
        .message()
        .await
        .expect_err("the stream ends in time");
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

async fn transport_client(address: SocketAddr) -> tonic::transport::Channel {
    tonic::transport::Endpoint::from_shared(format!("http://{address}"))
        .expect("an address")
        .connect()
        .await
        .expect("connects")
}
