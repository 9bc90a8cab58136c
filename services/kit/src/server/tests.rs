//! The server as clients see it: who is let in, what a panic or a late answer looks like, what the
//! ceilings do.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    pin::Pin,
    time::Instant,
};

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

#[tokio::test]
async fn too_many_calls_are_refused_and_a_finished_stream_makes_room() {
    let cluster = Cluster::start(&["--max-calls", "2"]).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = cluster
            .feed()
            .watch_changes(WatchChangesRequest::default())
            .await
            .expect("begins")
            .into_inner();
        stream.message().await.expect("is alive");
        streams.push(stream);
    }
    let refused = cluster
        .admin()
        .get_stats(GetStatsRequest {})
        .await
        .expect_err("is refused");
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert!(code::retry_after(&refused).is_some());
    drop(streams.pop());
    let answered = crate::retry::calls(|| {
        let mut admin = cluster.admin();
        async move { admin.get_stats(GetStatsRequest {}).await }
    });
    assert!(answered.await.is_ok());
}

#[tokio::test]
async fn silent_connections_are_closed_and_do_not_keep_others_out_for_ever() {
    let cluster = Cluster::start(&["--max-connections", "2"]).await;
    let address = cluster.cx.local_addr();
    let silent = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let mut sockets: Vec<_> = (0..2)
            .map(|_| std::net::TcpStream::connect(address).expect("connects"))
            .collect();
        for socket in &mut sockets {
            socket
                .write_all(b"PRI * HTTP")
                .expect("writes half a preface");
            socket
                .set_read_timeout(Some(Duration::from_secs(20)))
                .expect("sets");
            let mut buffer = [0; 1024];
            while socket.read(&mut buffer).is_ok_and(|read| read > 0) {}
        }
        begun.elapsed()
    });
    let stats = cluster.admin().get_stats(GetStatsRequest {}).await;
    assert!(stats.is_ok(), "{stats:?}");
    assert!(silent.await.expect("joins") < Duration::from_secs(15));
}

#[tokio::test]
async fn health_is_open_on_the_admin_port_only_and_follows_the_conditions() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let cluster = Cluster::start(&[]).await;
    let condition = cluster.cx.health.condition("store");
    let check = |name: &str| HealthCheckRequest {
        service: name.to_owned(),
    };
    let mut open = HealthClient::new(transport_client(cluster.cx.admin_addr()).await);
    let mut closed = HealthClient::new(transport_client(cluster.cx.local_addr()).await);
    let refused = closed.check(check("")).await.expect_err("needs a token");
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);

    let mut status = async |service| {
        open.check(check(service))
            .await
            .expect("answers")
            .into_inner()
            .status
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while status("").await != 2 {
        assert!(Instant::now() < deadline, "never became NOT_SERVING");
    }
    assert_eq!(status("liveness").await, 1);
    condition.ready();
    while status("kumo.store.v1.AdminService").await != 1 {
        assert!(Instant::now() < deadline, "never became SERVING");
    }
    let process = ProcessServiceClient::new(cluster.peer(&cluster.cx.credential).channel())
        .get_process(GetProcessRequest {})
        .await
        .expect("answers")
        .into_inner();
    assert!(process.ready && process.memory.is_some_and(|memory| memory.rss_bytes > 0));
    assert_eq!(
        (process.role.as_str(), process.instance.as_str()),
        ("test", "here")
    );
}

#[tokio::test]
async fn a_shutdown_ends_the_server_when_calls_are_done() {
    let cluster = Cluster::start(&[]).await;
    cluster
        .admin()
        .get_stats(GetStatsRequest {})
        .await
        .expect("answers");
    cluster.cx.shutdown.begin();
    tokio::time::timeout(Duration::from_secs(10), cluster.cx.tasks.joined())
        .await
        .expect("ends");
    let gone = cluster
        .admin()
        .get_stats(GetStatsRequest {})
        .await
        .expect_err("is gone");
    assert_eq!(gone.code(), tonic::Code::Unavailable, "{gone:?}");
}

#[test]
fn a_frozen_client_does_not_hold_up_the_end() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let (server, client) = (
        runtime(),
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime"),
    );
    let cluster = server.block_on(Cluster::start(&[]));
    let answered = client.block_on(async { cluster.admin().get_stats(GetStatsRequest {}).await });
    assert!(answered.is_ok());
    // From here on nobody drives the client: it has a connection, and answers nothing.
    let begun = Instant::now();
    cluster.cx.shutdown.begin();
    server.block_on(cluster.cx.tasks.joined());
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn beyond_loopback_needs_insecure() {
    let data = tempfile::tempdir().expect("a folder");
    let folder = data.path().to_str().expect("UTF-8");
    let open = async |flags: &[&str]| {
        let base = ["test", "--data", folder, "--listen", "0.0.0.0:0"];
        let flags = Flags::parse_from(base.iter().chain(flags));
        Context::open("test", flags.shared, ([127, 0, 0, 1], 0).into()).await
    };
    let refused = open(&[]).await.expect_err("is refused");
    assert!(refused.to_string().contains("--insecure"), "{refused}");
    assert!(open(&["--insecure"]).await.is_ok());
}

#[tokio::test]
async fn reflection_lists_what_is_served_in_both_versions() {
    use tonic_reflection::pb::v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let cluster = Cluster::start(&[]).await;
    let channel = cluster.peer(&cluster.cx.credential).channel();
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(stream::iter([ask]))
        .await
        .expect("answers")
        .into_inner();
    let answer = answers.message().await.expect("answers").expect("once");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("not a list: {answer:?}");
    };
    let mut names: Vec<String> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "kumo.node.v1.ProcessService",
            "kumo.store.v1.AdminService",
            "kumo.store.v1.FeedService",
        ]
    );
}
