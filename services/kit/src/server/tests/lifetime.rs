//! Ceilings, health, reflection, and how a server ends.

use std::io::{Read, Write};

use super::*;

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

/// What reflection of one version lists, sorted.
macro_rules! listed {
    ($version:ident, $peer:expr) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let ask = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut answers = ServerReflectionClient::new($peer.channel())
            .server_reflection_info(stream::iter([ask]))
            .await
            .expect("answers")
            .into_inner();
        let answer = answers.message().await.expect("answers").expect("once");
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("not a list: {answer:?}");
        };
        let names = list.service.into_iter().map(|service| service.name);
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }};
}
pub(super) use listed;

#[tokio::test]
async fn reflection_lists_what_is_served_in_both_versions() {
    let cluster = Cluster::start(&[]).await;
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "kumo.node.v1.ProcessService",
        "kumo.store.v1.AdminService",
        "kumo.store.v1.FeedService",
    ];
    let peer = cluster.peer(&cluster.cx.credential);
    assert_eq!(listed!(v1, peer), expected);
    assert_eq!(listed!(v1alpha, peer), expected);
}
