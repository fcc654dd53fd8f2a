//! `grpc.health.v1.Health`: serving is what `/readyz` calls ready.

use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::WatchStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};

use crate::lifecycle::Lifecycle;

pub(super) use health_server::HealthServer;

/// Services that there are: all of them at once, and each by its name.
const SERVICES: [&str; 3] = ["", "envoy.service.auth.v3.Authorization", "grpc.health.v1.Health"];

/// Tells whether the service is ready.
#[derive(Debug)]
pub(super) struct Health {
    lifecycle: Lifecycle,
    /// For those who watch: the present first, then every change. It ends with the drain, and with it their calls.
    states: watch::Receiver<bool>,
}

impl Health {
    pub(super) fn new(lifecycle: &Lifecycle) -> Self {
        let mut readiness = lifecycle.readiness();
        let (tell, states) = watch::channel(readiness.borrow_and_update().is_empty());
        let own = lifecycle.clone();
        lifecycle.spawn(async move {
            let relay = async {
                while readiness.changed().await.is_ok() {
                    tell.send_replace(readiness.borrow_and_update().is_empty());
                }
            };
            tokio::select! {
                () = own.draining().cancelled() => {}
                () = relay => {}
            }
            tell.send_replace(false);
        });
        Self { lifecycle: lifecycle.clone(), states }
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(&self, call: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if SERVICES.contains(&call.get_ref().service.as_str()) {
            Ok(Response::new(told(self.lifecycle.objections().is_empty())))
        } else {
            Err(Status::not_found("there is no such service"))
        }
    }

    type WatchStream = BoxStream<HealthCheckResponse>;

    async fn watch(&self, call: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let is_ours = SERVICES.contains(&call.get_ref().service.as_str());
        let mut last = None;
        // A service that is not there stays unknown; the call goes on, as its contract says.
        let news = WatchStream::new(self.states.clone()).filter_map(move |ready| {
            let is_news = last.replace(ready && is_ours) != Some(ready && is_ours);
            let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
            is_news.then_some(Ok(if is_ours { told(ready) } else { unknown }))
        });
        Ok(Response::new(Box::pin(news)))
    }
}

fn told(ready: bool) -> HealthCheckResponse {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}
