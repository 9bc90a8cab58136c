//! The door: protobuf in, protobuf out, and nowhere else. One noun, one file; what turns a noun
//! into its messages stands beside it.

mod admin;
mod capacity;
mod edit;
mod embedding;
mod feed;
mod location;
mod r#match;
mod model;
mod node;
mod page;
mod post;
mod source_record;
mod tag;
mod task;
mod trash;

use std::{ops::RangeInclusive, pin::Pin, time::Duration};

use futures_util::Stream;
use kit::{Context, Fault, Scope, Shutdown, Tasks, code, server::Api};
use prost_types::Timestamp;
use proto::store::v1::{
    admin_service_server::AdminServiceServer, capacity_service_server::CapacityServiceServer,
    edit_service_server::EditServiceServer, embedding_service_server::EmbeddingServiceServer,
    feed_service_server::FeedServiceServer, location_service_server::LocationServiceServer,
    match_service_server::MatchServiceServer, model_service_server::ModelServiceServer,
    node_service_server::NodeServiceServer, post_service_server::PostServiceServer,
    source_record_service_server::SourceRecordServiceServer, tag_service_server::TagServiceServer,
    task_service_server::TaskServiceServer, trash_service_server::TrashServiceServer,
};
use store_core::node::Subject;
use tonic::{Request, Status};

use crate::{Error, engine::Engine};

/// Largest request of most services: 1,000 locations with the longest paths.
const LARGE_REQUEST: usize = 8 << 20;
/// Largest request that carries results or labels.
const LARGEST_REQUEST: usize = 16 << 20;
/// Answers are kept below what clients accept by default, which is 4 MiB.
const ANSWER: usize = 3 << 20;
/// Times that a Timestamp may hold, unix seconds: the years 1 to 9999.
const TIMES: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// What each method needs.
const SCOPES: &[(&str, Scope)] = &[
    ("/kumo.store.v1.PostService/RegisterPosts", Scope::Node),
    ("/kumo.store.v1.PostService/GetPost", Scope::Read),
    ("/kumo.store.v1.PostService/BatchGetPosts", Scope::Read),
    ("/kumo.store.v1.PostService/SearchPosts", Scope::Read),
    ("/kumo.store.v1.TagService/ListTags", Scope::Read),
    ("/kumo.store.v1.EditService/EditPosts", Scope::Write),
    (
        "/kumo.store.v1.SourceRecordService/PutSourceRecords",
        Scope::Write,
    ),
    (
        "/kumo.store.v1.SourceRecordService/ListSourceRecords",
        Scope::Read,
    ),
    (
        "/kumo.store.v1.SourceRecordService/DeleteSourceRecords",
        Scope::Write,
    ),
    (
        "/kumo.store.v1.SourceRecordService/ListSources",
        Scope::Read,
    ),
    (
        "/kumo.store.v1.SourceRecordService/UpdateSource",
        Scope::Write,
    ),
    ("/kumo.store.v1.TrashService/TrashPosts", Scope::Write),
    ("/kumo.store.v1.TrashService/RestorePosts", Scope::Write),
    ("/kumo.store.v1.TrashService/PurgePosts", Scope::Write),
    ("/kumo.store.v1.TrashService/ListRejected", Scope::Read),
    ("/kumo.store.v1.TrashService/AllowRejected", Scope::Write),
    (
        "/kumo.store.v1.LocationService/UpdateLocations",
        Scope::Node,
    ),
    ("/kumo.store.v1.LocationService/ListLocations", Scope::Read),
    (
        "/kumo.store.v1.LocationService/ReportIngestFailures",
        Scope::Node,
    ),
    ("/kumo.store.v1.LocationService/ListRoots", Scope::Read),
    ("/kumo.store.v1.TaskService/LeaseTasks", Scope::Node),
    ("/kumo.store.v1.TaskService/MarkRunning", Scope::Node),
    ("/kumo.store.v1.TaskService/RenewLeases", Scope::Node),
    ("/kumo.store.v1.TaskService/CompleteTasks", Scope::Node),
    ("/kumo.store.v1.TaskService/FailTasks", Scope::Node),
    ("/kumo.store.v1.TaskService/ReleaseLeases", Scope::Node),
    ("/kumo.store.v1.TaskService/ReportCrash", Scope::Node),
    ("/kumo.store.v1.TaskService/ListTasks", Scope::Read),
    ("/kumo.store.v1.TaskService/RetryTasks", Scope::Write),
    ("/kumo.store.v1.TaskService/PauseQueue", Scope::Write),
    ("/kumo.store.v1.TaskService/ResumeQueue", Scope::Write),
    ("/kumo.store.v1.ModelService/RegisterModel", Scope::Node),
    ("/kumo.store.v1.ModelService/ActivateModel", Scope::Write),
    ("/kumo.store.v1.ModelService/DeactivateModel", Scope::Write),
    ("/kumo.store.v1.ModelService/ListModels", Scope::Read),
    ("/kumo.store.v1.NodeService/RegisterNode", Scope::Node),
    ("/kumo.store.v1.NodeService/RegisterWatcher", Scope::Node),
    ("/kumo.store.v1.NodeService/HeartbeatWatcher", Scope::Node),
    ("/kumo.store.v1.NodeService/ListNodes", Scope::Read),
    ("/kumo.store.v1.FeedService/WatchChanges", Scope::Read),
    (
        "/kumo.store.v1.EmbeddingService/StreamEmbeddings",
        Scope::Read,
    ),
    (
        "/kumo.store.v1.EmbeddingService/BatchGetEmbeddings",
        Scope::Read,
    ),
    (
        "/kumo.store.v1.CapacityService/RequestCapacity",
        Scope::Read,
    ),
    ("/kumo.store.v1.CapacityService/WatchDemand", Scope::Read),
    ("/kumo.store.v1.MatchService/MatchQuery", Scope::Read),
    ("/kumo.store.v1.MatchService/MatchTags", Scope::Read),
    ("/kumo.store.v1.AdminService/GetStats", Scope::Read),
];

/// What handlers work with.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    engine: Engine,
    shutdown: Shutdown,
    tasks: Tasks,
}

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// All services of the store.
pub(crate) fn api(engine: &Engine, cx: &Context) -> Api {
    let door = Door {
        engine: engine.clone(),
        shutdown: cx.shutdown.clone(),
        tasks: cx.tasks.clone(),
    };
    Api::new()
        .scopes(SCOPES)
        .add(PostServiceServer::new(door.clone()).max_decoding_message_size(LARGE_REQUEST))
        .add(TagServiceServer::new(door.clone()))
        .add(EditServiceServer::new(door.clone()).max_decoding_message_size(LARGE_REQUEST))
        .add(
            SourceRecordServiceServer::new(door.clone()).max_decoding_message_size(LARGEST_REQUEST),
        )
        .add(TrashServiceServer::new(door.clone()))
        .add(LocationServiceServer::new(door.clone()).max_decoding_message_size(LARGE_REQUEST))
        .add(TaskServiceServer::new(door.clone()).max_decoding_message_size(LARGEST_REQUEST))
        .add(ModelServiceServer::new(door.clone()).max_decoding_message_size(LARGEST_REQUEST))
        .add(NodeServiceServer::new(door.clone()).max_decoding_message_size(LARGE_REQUEST))
        .add(FeedServiceServer::new(door.clone()))
        .add(EmbeddingServiceServer::new(door.clone()))
        .add(MatchServiceServer::new(door.clone()))
        .add(CapacityServiceServer::new(door.clone()))
        .add(AdminServiceServer::new(door))
}

/// Whose token a request shows.
fn subject<T>(request: &Request<T>) -> Subject {
    let principal = kit::server::principal(request);
    Subject {
        name: principal.name.to_string(),
        admin: principal.may(Scope::Admin),
    }
}

/// What the client sees of an error.
fn refuse(error: impl Into<Error>) -> Status {
    let error: Error = error.into();
    if let Error::Core(store_core::Error::Corrupt { .. }) = &error {
        tracing::error!(error.reason = error.reason(), "{error}");
    }
    code::status(&error)
}

/// Unix milliseconds as a message.
fn timestamp(unix_ms: i64) -> Option<Timestamp> {
    let millis = i32::try_from(unix_ms.rem_euclid(1_000)).ok()?;
    Some(Timestamp {
        seconds: unix_ms.div_euclid(1_000),
        nanos: millis * 1_000_000,
    })
}

/// A message as unix milliseconds. What no client could read in JSON is refused: it would spoil
/// every answer that tells it.
fn unix_ms(field: &str, time: Timestamp) -> Result<i64, Error> {
    let told = TIMES.contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos);
    if !told {
        let rule = "a time in the years 1 to 9999";
        return Err(Error::field(field, &time.seconds, rule));
    }
    Ok(time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000)
}

/// A length of time as a message.
fn duration(time: Duration) -> Option<prost_types::Duration> {
    time.try_into().ok()
}

/// A hash of exactly `N` bytes in lower-case hexadecimal.
fn hash<const N: usize>(field: &str, text: &str) -> Result<[u8; N], Error> {
    kit::hex::decode(text).ok_or_else(|| {
        let rule = if N == 32 {
            "64 lower-case hex digits"
        } else {
            "32 lower-case hex digits"
        };
        Error::field(field, text, rule)
    })
}

/// Refuses a call with more than `limit` items.
fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), Error> {
    if count > limit {
        return Err(store_core::Error::TooMany { what, count, limit }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_have_positive_nanoseconds() {
        let time = timestamp(-1).expect("in range");
        assert_eq!((time.seconds, time.nanos), (-1, 999_000_000));
    }

    #[test]
    fn times_that_json_cannot_say_are_refused() {
        let read = |seconds, nanos| unix_ms("fetch_time", Timestamp { seconds, nanos });
        for seconds in [*TIMES.start(), 0, *TIMES.end()] {
            let ms = read(seconds, 5_000_000).expect("is a time");
            let told = timestamp(ms).expect("is a time");
            assert_eq!((told.seconds, told.nanos), (seconds, 5_000_000));
        }
        let far = [TIMES.start() - 1, TIMES.end() + 1, i64::MIN, i64::MAX];
        for (seconds, nanos) in far
            .map(|far| (far, 0))
            .into_iter()
            .chain([(0, -1), (0, 1_000_000_000)])
        {
            assert!(read(seconds, nanos).is_err(), "{seconds} s {nanos} ns");
        }
    }

    #[test]
    fn every_method_of_the_contract_has_its_scope() {
        use prost::Message;
        let set = prost_types::FileDescriptorSet::decode(proto::DESCRIPTORS).expect("decodes");
        let mut methods: Vec<String> = Vec::new();
        for file in set.file.iter().filter(|f| f.package() == "kumo.store.v1") {
            for service in &file.service {
                let path = |m: &prost_types::MethodDescriptorProto| {
                    format!("/kumo.store.v1.{}/{}", service.name(), m.name())
                };
                methods.extend(service.method.iter().map(path));
            }
        }
        let mut scoped: Vec<String> = SCOPES.iter().map(|(path, _)| (*path).to_owned()).collect();
        methods.sort();
        scoped.sort();
        assert_eq!(scoped, methods);
    }
}
