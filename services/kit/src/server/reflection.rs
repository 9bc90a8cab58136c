//! Reflection in both versions: new clients ask for v1, older ones for v1alpha. It lists what is
//! served here, though it can describe the whole contract.
//!
//! It is made when somebody first asks. The contract taken apart is about half a MiB in each
//! version, and more while it is taken apart, which a process that nobody asks need not hold.

use std::{
    convert::Infallible,
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{Status, body::Body, server::NamedService, service::RoutesBuilder};
use tonic_reflection::{
    pb,
    server::{Builder, Error},
};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

/// Services that every process has beside its own, as reflection lists them.
const ALWAYS_LISTED: &[&str] = &["grpc.health.v1.Health", V1::NAME, V1Alpha::NAME];

/// What answers, once it is made.
type Answering = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Adds reflection that lists `names` and what every process serves.
pub(super) fn add(routes: &mut RoutesBuilder, names: &[&'static str]) {
    let listed: Arc<[&str]> = [names, ALWAYS_LISTED].concat().into();
    routes.add_service(Reflection::<V1>::new(listed.clone()));
    routes.add_service(Reflection::<V1Alpha>::new(listed));
}

/// A version of the protocol.
trait Version: 'static {
    /// Name of the service.
    const NAME: &'static str;

    /// Takes the descriptors apart.
    fn make(builder: Builder<'_>) -> Result<Answering, Error>;
}

struct V1;
struct V1Alpha;

impl Version for V1 {
    const NAME: &'static str = pb::v1::server_reflection_server::SERVICE_NAME;

    fn make(builder: Builder<'_>) -> Result<Answering, Error> {
        builder.build_v1().map(BoxCloneSyncService::new)
    }
}

impl Version for V1Alpha {
    const NAME: &'static str = pb::v1alpha::server_reflection_server::SERVICE_NAME;

    fn make(builder: Builder<'_>) -> Result<Answering, Error> {
        builder.build_v1alpha().map(BoxCloneSyncService::new)
    }
}

/// The service of one version.
struct Reflection<V> {
    listed: Arc<[&'static str]>,
    made: Arc<OnceLock<Result<Answering, Error>>>,
    version: PhantomData<fn() -> V>,
}

impl<V: Version> Reflection<V> {
    fn new(listed: Arc<[&'static str]>) -> Self {
        Self {
            listed,
            made: Arc::default(),
            version: PhantomData,
        }
    }

    fn make(&self) -> Result<Answering, Error> {
        let builder = Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(pb::v1alpha::FILE_DESCRIPTOR_SET)
            .include_reflection_service(false);
        let names = self.listed.iter();
        V::make(names.fold(builder, |builder, name| builder.with_service_name(*name)))
    }
}

impl<V: Version> Service<Request<Body>> for Reflection<V> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.made.get_or_init(|| self.make()) {
            Ok(answering) => Box::pin(answering.clone().oneshot(request)),
            Err(error) => {
                tracing::error!("cannot describe the services: {error}");
                let status = Status::internal("the services cannot be described");
                Box::pin(std::future::ready(Ok(status.into_http())))
            }
        }
    }
}

impl<V: Version> NamedService for Reflection<V> {
    const NAME: &'static str = V::NAME;
}

// By hand, since V need not be Clone or Debug.
impl<V> Clone for Reflection<V> {
    fn clone(&self) -> Self {
        Self {
            listed: self.listed.clone(),
            made: self.made.clone(),
            version: PhantomData,
        }
    }
}

impl<V> fmt::Debug for Reflection<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reflection")
            .field("listed", &self.listed)
            .finish_non_exhaustive()
    }
}
