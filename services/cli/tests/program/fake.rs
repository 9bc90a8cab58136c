//! A gRPC server that answers from closures, and a folder that holds its token.

use std::{
    collections::HashMap,
    convert::Infallible,
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use tempfile::TempDir;
use tonic::{Status, body::Body};

/// What every fake takes as the owner's token.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

type Answer = Result<Vec<Vec<u8>>, Status>;
type Handler = Box<dyn Fn(Vec<Bytes>) -> Answer + Send + Sync>;

/// Methods and what they answer; others are UNIMPLEMENTED.
#[derive(Default)]
pub(crate) struct Fake {
    handlers: HashMap<&'static str, Handler>,
}

impl Fake {
    /// One message in, one message out.
    pub(crate) fn on<Q, A>(
        self,
        method: &'static str,
        answer: impl Fn(Q) -> Result<A, Status> + Send + Sync + 'static,
    ) -> Self
    where
        Q: Message + Default,
        A: Message,
    {
        self.on_all(method, move |mut questions: Vec<Q>| {
            let question = questions.pop().unwrap_or_default();
            answer(question).map(|answer| vec![answer])
        })
    }

    /// A stream of messages in, a stream of messages out.
    pub(crate) fn on_all<Q, A>(
        mut self,
        method: &'static str,
        answer: impl Fn(Vec<Q>) -> Result<Vec<A>, Status> + Send + Sync + 'static,
    ) -> Self
    where
        Q: Message + Default,
        A: Message,
    {
        let handler = move |questions: Vec<Bytes>| {
            let questions = questions.into_iter().map(|question| {
                Q::decode(question).map_err(|error| Status::internal(error.to_string()))
            });
            let answers = answer(questions.collect::<Result<_, _>>()?)?;
            Ok(answers.iter().map(Message::encode_to_vec).collect())
        };
        self.handlers.insert(method, Box::new(handler));
        self
    }

    /// Serves on a free port of loopback until the test ends.
    pub(crate) fn serve(self) -> SocketAddr {
        let handlers = Arc::new(self.handlers);
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be made");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
                let listener = listener.expect("some port is free");
                let address = listener.local_addr().expect("is bound");
                send.send(address).expect("the test waits for it");
                let service = tower::service_fn(move |request| {
                    let handlers = handlers.clone();
                    async move { Ok::<_, Infallible>(respond(&handlers, request).await) }
                });
                let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
                let server = tonic::transport::Server::builder();
                let served = server.serve_with_incoming_shutdown(
                    service,
                    incoming,
                    std::future::pending::<()>(),
                );
                served.await.expect("serves");
            });
        });
        receive.recv().expect("the server starts")
    }
}

async fn respond(handlers: &HashMap<&str, Handler>, request: Request<Body>) -> Response<Body> {
    let token = request.headers().get("authorization");
    if token.is_none_or(|token| token.as_bytes() != format!("Bearer {TOKEN}").as_bytes()) {
        return Status::unauthenticated("the token is not known here").into_http();
    }
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await;
    let Ok(body) = body.map(http_body_util::Collected::to_bytes) else {
        return Status::cancelled("the call was given up").into_http();
    };
    let Some(handler) = handlers.get(path.as_str()) else {
        return Status::unimplemented(format!("this story has no {path}")).into_http();
    };
    match handler(messages(body)) {
        Ok(answers) => success(&answers),
        Err(status) => status.into_http(),
    }
}

/// The messages of a gRPC body: one byte of flags, four of length, the message.
fn messages(mut body: Bytes) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while body.remaining() >= 5 {
        body.advance(1);
        let length = usize::try_from(body.get_u32()).expect("fits");
        messages.push(body.split_to(length));
    }
    messages
}

fn success(answers: &[Vec<u8>]) -> Response<Body> {
    let mut data = Vec::new();
    for answer in answers {
        data.push(0);
        let length = u32::try_from(answer.len()).expect("small");
        data.extend(length.to_be_bytes());
        data.extend(answer);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [
        http_body::Frame::data(Bytes::from(data)),
        http_body::Frame::trailers(trailers),
    ];
    let frames = tokio_stream::iter(frames.map(Ok::<_, Infallible>));
    Response::builder()
        .header("content-type", "application/grpc")
        .body(Body::new(StreamBody::new(frames)))
        .expect("the parts are valid")
}

/// A data folder with the owner's token.
pub(crate) fn data() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let token = folder.path().join("local.token");
    std::fs::write(&token, format!("{TOKEN}\n")).expect("writes");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).expect("is ours");
    folder
}

/// The real program, with nothing of this environment.
pub(crate) fn kumo(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kumo"));
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command.env("KUMO_DATA", data);
    command
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Said {
    /// The lines of stdout as JSON.
    pub(crate) fn objects(&self) -> Vec<serde_json::Value> {
        let parse = |line| serde_json::from_str(line).expect("each line is JSON");
        self.out.lines().map(parse).collect()
    }
}

/// Runs `kumo` against a cluster whose services are all at one address.
pub(crate) fn ask(store: SocketAddr, arguments: &[&str]) -> Said {
    tell(store, arguments, "")
}

/// The same with something to read on stdin.
pub(crate) fn tell(store: SocketAddr, arguments: &[&str], input: &str) -> Said {
    let data = data();
    let mut command = kumo(data.path());
    for flag in ["--store", "--similarity"] {
        command.arg(flag).arg(store.to_string());
    }
    command.args(arguments);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("is piped");
    // A command that reads nothing may have ended.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("runs").into()
}
