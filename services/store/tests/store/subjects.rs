//! A node belongs to the token that registered it: no other token acts for it.

use std::time::Duration;

use kit::{
    Credential, Scope,
    auth::{Grant, file},
    client::Peer,
};
use proto::store::v1::{
    CompleteTasksRequest, FailTasksRequest, MarkRunningRequest, ReleaseLeasesRequest,
    RenewLeasesRequest, ReportCrashRequest,
};
use tonic::Code;

use crate::harness::{Clients, Scene, eventually, lease_request, node, refused, result};

const AT_ONCE: Duration = Duration::ZERO;

/// Clients with a token of their own that is good for nodes.
async fn somebody(scene: &Scene, name: &str) -> Clients {
    let credential = Credential::fresh().expect("made");
    let grant = Grant {
        name: name.into(),
        scopes: [Scope::Node].into(),
        hash: credential.hash(),
        expires: None,
    };
    file::add(&scene.data.path().join("auth"), &grant).expect("adds");
    let address = scene.store.cx.local_addr().to_string();
    let peer = Peer::new(&address, &credential).expect("an address");
    let clients = Clients::new(&peer.channel());
    let probe = async || {
        let mut tasks = clients.tasks.clone();
        let answer = tasks.lease_tasks(lease_request("nobody", 1, AT_ONCE)).await;
        answer.expect_err("there is no such node").code()
    };
    eventually(probe, |code| *code == Code::FailedPrecondition).await;
    clients
}

#[tokio::test]
async fn another_token_neither_leases_nor_ends_what_a_node_holds() {
    let mut scene = Scene::new().await;
    let mut den = somebody(&scene, "den").await;
    let mut thief = somebody(&scene, "thief").await;
    scene.to.register(1..=2).await;
    den.nodes
        .register_node(node("two", 1))
        .await
        .expect("registers");
    let held = den.lease("two", 1, AT_ONCE).await.tasks;
    assert_eq!(held.len(), 1);

    let denied = (Code::PermissionDenied, "NODE_OF_ANOTHER");
    macro_rules! denied {
        ($call:expr) => {
            refused($call.await, denied.0, denied.1)
        };
    }
    let (name, incarnation) = ("two".to_owned(), 1);
    denied!(thief.nodes.register_node(node("two", 9)));
    denied!(thief.tasks.lease_tasks(lease_request("two", 1, AT_ONCE)));
    denied!(thief.tasks.mark_running(MarkRunningRequest {
        node: name.clone(),
        incarnation,
        ..Default::default()
    }));
    denied!(thief.tasks.renew_leases(RenewLeasesRequest {
        node: name.clone(),
        incarnation,
        ..Default::default()
    }));
    denied!(thief.tasks.release_leases(ReleaseLeasesRequest {
        node: name.clone(),
        incarnation,
        ..Default::default()
    }));
    denied!(thief.tasks.fail_tasks(FailTasksRequest {
        node: name.clone(),
        incarnation,
        ..Default::default()
    }));
    denied!(thief.tasks.complete_tasks(CompleteTasksRequest {
        node: name.clone(),
        incarnation,
        results: vec![result(&held[0], &[])],
    }));
    denied!(thief.tasks.report_crash(ReportCrashRequest {
        node: name.clone(),
        incarnation,
    }));
    // The owner of the machine supervises all nodes; the node itself goes on as if nothing was.
    let waiting = scene.to.lease("two", 1, AT_ONCE).await.tasks;
    assert_eq!(waiting.len(), 1);
    let done = den.complete("two", &held, &[]).await;
    assert_eq!(done.len(), 1);
    assert_eq!(scene.to.stats().await.tasks_leased, 1);
}
