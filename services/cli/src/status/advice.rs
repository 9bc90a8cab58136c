//! What to do next about what is wrong.

use proto::store::v1::{ModelKind, RootState, TaskState};

use super::Overview;
use crate::{amount, words};

/// One line for each thing that a person can do something about.
pub(super) fn advice(overview: &Overview) -> Vec<String> {
    let mut advice = Vec::new();
    let stats = &overview.stats;
    if overview.roots.is_empty() {
        advice.push("no folder is watched; watch one with `kumo up DIR`".to_owned());
    }
    let failed = stats.tasks_failed + stats.ingest_failures;
    if failed > 0 {
        advice.push(format!(
            "{} failed: `kumo tasks --failed` says why, `kumo retry --all-failed` tries again",
            amount::count(failed)
        ));
    }
    if stats.tasks_parked > 0 {
        advice.push(format!(
            "{} wait for a machine that holds the picture: `kumo tasks --{}`, and start its watcher",
            amount::count(stats.tasks_parked),
            words::task_state(TaskState::Parked)
        ));
    }
    for root in &overview.roots {
        if root.state() == RootState::Offline {
            advice.push(format!(
                "{} is offline: mount its disk, or start its watcher ({}); nothing of it is lost",
                root.display_path, root.watcher
            ));
        }
    }
    paused(overview, &mut advice);
    nodes(overview, &mut advice);
    if !overview.models.iter().any(|model| model.active) && stats.posts > 0 {
        advice.push("no model is active, so nothing gets tagged; `kumo up` brings one".to_owned());
    }
    advice
}

/// A pause that is forgotten looks like a cluster that does nothing.
fn paused(overview: &Overview, advice: &mut Vec<String>) {
    let paused = |kind| {
        let mut models = overview.models.iter();
        models.any(|model| model.active && model.paused && model.kind() == kind)
    };
    let kinds: Vec<&str> = [ModelKind::Tag, ModelKind::Embed]
        .into_iter()
        .filter(|kind| paused(*kind))
        .map(words::work)
        .collect();
    if !kinds.is_empty() {
        advice.push(format!(
            "the queue is paused ({}); `kumo resume` goes on",
            kinds.join(", ")
        ));
    }
}

fn nodes(overview: &Overview, advice: &mut Vec<String>) {
    let nodes = &overview.nodes;
    for node in nodes.iter().filter(|node| node.online) {
        match node.stopped_reason.as_str() {
            "" => {}
            reason => advice.push(format!(
                "{} gets no work ({reason}); when it is well again: `kumo resume --node {}`",
                node.name,
                node.name.trim_start_matches("nodes/")
            )),
        }
    }
    advice.dedup();
    for (kind, role) in [(ModelKind::Tag, "tagger"), (ModelKind::Embed, "embedder")] {
        let mut demand = overview.demand.iter();
        let waits = demand.any(|demand| demand.kind() == kind && demand.leasable > 0);
        let works = nodes.iter().any(|node| node.online && node.role == role);
        if waits && !works {
            advice.push(format!(
                "tasks wait and no {role} is online; `kumo up` starts one, its log is \
                 DATA/logs/{role}.log"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        similarity::v1::GetIndexResponse,
        store::v1::{Demand, GetStatsResponse, Model, Node, Root},
    };

    use super::*;

    fn healthy() -> Overview {
        let root = Root {
            state: RootState::Online.into(),
            ..Root::default()
        };
        let model = Model {
            active: true,
            ..Model::default()
        };
        Overview {
            address: "http://127.0.0.1:7801".to_owned(),
            stats: GetStatsResponse::default(),
            index: Ok(GetIndexResponse::default()),
            demand: Vec::new(),
            roots: vec![root],
            models: vec![model],
            nodes: Vec::new(),
            processes: Vec::new(),
        }
    }

    #[test]
    fn a_healthy_cluster_needs_no_advice() {
        assert_eq!(advice(&healthy()), Vec::<String>::new());
    }

    #[test]
    fn a_paused_queue_is_told_with_its_kinds() {
        let mut overview = healthy();
        let embed = Model {
            kind: ModelKind::Embed.into(),
            active: true,
            paused: true,
            ..Model::default()
        };
        let tag = Model {
            kind: ModelKind::Tag.into(),
            active: false,
            ..embed.clone()
        };
        overview.models.extend([embed, tag]);
        assert_eq!(
            advice(&overview),
            ["the queue is paused (embed); `kumo resume` goes on"]
        );
    }

    #[test]
    fn each_trouble_names_the_command_that_helps() {
        let mut overview = healthy();
        overview.stats.tasks_failed = 2;
        for kind in [ModelKind::Tag, ModelKind::Embed] {
            overview.demand.push(Demand {
                kind: kind.into(),
                leasable: 5,
                ..Demand::default()
            });
        }
        overview.stats.tasks_parked = 1;
        overview.roots[0].state = RootState::Offline.into();
        overview.nodes.push(Node {
            name: "nodes/den".to_owned(),
            role: "tagger".to_owned(),
            online: true,
            stopped_reason: "NODE_STOPPED".to_owned(),
            ..Node::default()
        });
        let text = advice(&overview).join("\n");
        for command in [
            "kumo tasks --failed",
            "kumo tasks --parked",
            "mount its disk",
            "kumo resume --node den",
            "no embedder is online",
        ] {
            assert!(text.contains(command), "{command}: {text}");
        }
        assert!(!text.contains("no tagger is online"));
        overview.nodes.clear();
        assert!(advice(&overview).join("\n").contains("no tagger is online"));
    }
}
