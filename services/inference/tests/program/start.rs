//! Starting, waiting, stopping; and each thing that can be wrong before. A part of the tests of each
//! program that is a node, which says what it is: `crate::MODEL` is its built-in model, `crate::OTHER`
//! one that does something else, and `crate::is_it` knows how the first is registered.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kit::{Code, Fault};
use proto::node::v1::GetProcessRequest;
use proto::node::v1::process_service_client::ProcessServiceClient;
use proto::store::v1 as wire;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use wire::model_service_server::{ModelService, ModelServiceServer};

use crate::program::{NOBODY, Program, command, finish, run};

fn models() -> PathBuf {
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    services.join("inference/models")
}

/// A copy of the built-in model with one file changed.
pub(crate) fn spoiled(file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(models().join(crate::MODEL)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let path = folder.path().join(file);
    fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
    folder
}

#[test]
fn a_missing_or_wrong_runtime_is_named_with_its_path_although_no_store_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libonnxruntime.so");
    fs::write(&text, "not a library ".repeat(100)).unwrap();
    let missing = folder.path().join("nothing/here.so");
    for (path, cause) in [(&missing, "no such file"), (&text, "invalid ELF header")] {
        let path = path.to_str().unwrap();
        let (code, said) = run(&["--store", NOBODY, "--runtime", path]);
        assert_eq!(code, Some(69), "{said}");
        assert!(said.contains(path) && said.contains(cause), "{said}");
        assert!(said.contains("ONNXRUNTIME_NOT_FOUND"), "{said}");
    }
}

#[test]
fn a_wrong_model_folder_is_told_by_its_file() {
    let garbage = spoiled("model.toml", |_| b"format = \"none\"".to_vec());
    let weights = spoiled("model.onnx", |mut bytes| {
        bytes.truncate(bytes.len() / 2);
        bytes
    });
    let nothing = tempfile::tempdir().unwrap();
    for (folder, file) in [
        (garbage.path(), "model.toml"),
        (weights.path(), "model.onnx"),
        (nothing.path(), "model.toml"),
        (Path::new("/nonexistent/model"), "/nonexistent/model"),
    ] {
        let flags = ["--store", NOBODY, "--model", folder.to_str().unwrap()];
        let (code, said) = run(&flags);
        assert_eq!(code, Some(64), "{file}: {said}");
        assert!(said.contains(file), "{file}: {said}");
    }
}

#[test]
fn a_model_of_another_kind_is_refused() {
    let folder = models().join(crate::OTHER);
    let flags = ["--store", NOBODY, "--model", folder.to_str().unwrap()];
    for more in [&[][..], &["--register-only"]] {
        let (code, said) = run(&[&flags, more].concat());
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains("OTHER_KIND"), "{said}");
        assert!(said.contains(crate::OTHER), "{said}");
    }
}

#[test]
fn a_device_that_is_not_there_is_refused_and_an_unknown_one_is_a_mistake() {
    let (code, said) = run(&["--device", "abacus"]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("use auto, cpu, cuda"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_store_it_waits_says_so_and_stops_when_asked() {
    let mut program = Program::start(&["--store", NOBODY]);
    let peer = program.peer().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let described = loop {
        let mut client = ProcessServiceClient::new(peer.channel());
        let described = client.get_process(GetProcessRequest {}).await;
        let described = described.unwrap().into_inner();
        if described
            .not_ready_reasons
            .iter()
            .any(|why| why.contains("waiting for the store: "))
        {
            break described;
        }
        assert!(Instant::now() < deadline, "{described:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(!described.ready);
    let device = described
        .notices
        .iter()
        .find(|notice| notice.code == "DEVICE");
    assert!(device.unwrap().message.contains("CPUExecutionProvider"));
    let parts: Vec<_> = described
        .memory
        .unwrap()
        .parts
        .into_iter()
        .map(|part| part.name)
        .collect();
    assert!(parts.contains(&"session".to_owned()), "{parts:?}");
    let (code, said) = program.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("waiting for the store"), "{said}");
}

/// A store that knows one call.
struct Store;

#[derive(Debug, thiserror::Error)]
#[error("no node calls this")]
struct Unused;

impl Fault for Unused {
    fn code(&self) -> Code {
        Code::FailedPrecondition
    }
    fn reason(&self) -> &'static str {
        "UNUSED"
    }
}

#[tonic::async_trait]
impl ModelService for Store {
    async fn register_model(
        &self,
        request: Request<wire::RegisterModelRequest>,
    ) -> Result<Response<wire::RegisterModelResponse>, Status> {
        let request = request.into_inner();
        assert!(request.activate_if_first && crate::is_it(&request));
        let model = wire::Model {
            name: "models/7".to_owned(),
            ..wire::Model::default()
        };
        Ok(Response::new(wire::RegisterModelResponse {
            model: Some(model),
        }))
    }
    async fn activate_model(
        &self,
        _: Request<wire::ActivateModelRequest>,
    ) -> Result<Response<wire::ActivateModelResponse>, Status> {
        Err(kit::code::status(&Unused))
    }
    async fn deactivate_model(
        &self,
        _: Request<wire::DeactivateModelRequest>,
    ) -> Result<Response<wire::DeactivateModelResponse>, Status> {
        Err(kit::code::status(&Unused))
    }
    async fn list_models(
        &self,
        _: Request<wire::ListModelsRequest>,
    ) -> Result<Response<wire::ListModelsResponse>, Status> {
        Err(kit::code::status(&Unused))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn register_only_needs_no_runtime_and_prints_the_name() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tonic::transport::Server::builder()
        .add_service(ModelServiceServer::new(Store))
        .serve_with_incoming(TcpListenerStream::new(listener));
    let serving = kit::Tasks::new().spawn("store", serving);
    let data = tempfile::tempdir().unwrap();
    let flags = [
        "--register-only",
        "--store",
        &url,
        "--runtime",
        "/nonexistent",
    ];
    let program = command(data.path(), &flags);
    let output = tokio::task::spawn_blocking(|| finish(program))
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(output.stdout, b"models/7\n");
    assert!(!data.path().join("run").exists(), "it announces nothing");
    serving.abort();
}

#[test]
fn register_only_without_a_store_is_an_error() {
    let (code, said) = run(&["--register-only", "--store", NOBODY]);
    assert_eq!(code, Some(69), "{said}");
}
