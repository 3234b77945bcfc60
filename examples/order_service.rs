//! A small service: takes an order over HTTP, runs it as a durable workflow, and loses none on SIGTERM.
//!
//! ```text
//! cargo run --features sqlite --example order_service
//! curl -i -X POST localhost:3000/orders -H 'content-type: application/json' \
//!      -d '{"id": "A-1", "item": "lamp", "quantity": 2}'
//! curl localhost:3000/orders/<task uuid of the answer>
//! ```
//!
//! `202 Accepted` means that the order is stored durably. A SIGTERM (or Ctrl-C) stops taking orders, lets
//! running steps end, and exits; what is not finished goes on at the next start, also after a crash.

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use postroom::orchestration::store::Store;
use postroom::orchestration::store::sqlite::{SqliteOptions, SqliteStore};
use postroom::orchestration::template::TaskTemplate;
use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
use postroom::orchestration::{IdentityStrategy, OrchestrationCore, SubmitError, SubmitOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

/// What a customer sends. Also the input of every step.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: String,
    item: String,
    quantity: u32,
}

/// What the steps share; here, where a real service would hold its clients and pools.
struct Shop {
    price_in_cents: u32,
}

async fn charge(order: Order, step: StepContext<Shop>) -> Result<Value, StepError> {
    if order.quantity == 0 {
        return Err(StepError::permanent("an order needs at least one piece"));
    }
    // A payment provider would be given `step.task_uuid()` as its idempotency key: the step may run again
    // after a crash.
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(json!({ "cents": order.quantity * step.state().price_in_cents }))
}

async fn reserve(order: Order, _: StepContext<Shop>) -> Result<Value, StepError> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(json!({ "reserved": order.quantity, "item": order.item }))
}

async fn ship(order: Order, step: StepContext<Shop>) -> Result<Value, StepError> {
    let paid: Value = step.parent("charge")?;
    Ok(json!({ "order": order.id, "paid": paid["cents"] }))
}

struct Service {
    core: Arc<OrchestrationCore>,
    template: Arc<TaskTemplate>,
}

async fn take_order(State(service): State<Arc<Service>>, Json(order): Json<Order>) -> Response {
    // The order's id is the key: a customer who sends the same order twice gets the same task.
    let options = SubmitOptions {
        identity: IdentityStrategy::Caller(order.id.clone()),
        ..SubmitOptions::default()
    };
    match service
        .core
        .submit_with(&service.template, &order, options)
        .await
    {
        Ok(task) => {
            let answer = json!({ "task": task.uuid(), "known": task.duplicate().is_some() });
            (StatusCode::ACCEPTED, Json(answer)).into_response()
        }
        Err(error @ SubmitError::KeyConflict { .. }) => {
            (StatusCode::CONFLICT, error.to_string()).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

async fn show_order(State(service): State<Arc<Service>>, Path(task): Path<Uuid>) -> Response {
    match service.core.store().task(task).await {
        Ok(Some(task)) => {
            Json(json!({ "state": task.state, "steps_complete": task.steps_complete }))
                .into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = env::var("ORDERS_DATABASE").unwrap_or_else(|_| "orders.db".into());
    let address = env::var("ORDERS_ADDRESS").unwrap_or_else(|_| "127.0.0.1:3000".into());

    let mut order = TaskTemplate::builder("order")
        .namespace("shop")
        .version("1.0.0");
    let charged = order.step("charge", "charge").add();
    let reserved = order.step("reserve", "reserve").add();
    order.step("ship", "ship").after([&charged, &reserved]);
    let template = Arc::new(order.build()?);

    let handlers = StepHandlers::with_state(Shop {
        price_in_cents: 1_250,
    })
    .register("charge", charge)
    .register("reserve", reserve)
    .register("ship", ship)
    .build()?;
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(&database, SqliteOptions::default()).await?);
    let core = Arc::new(
        OrchestrationCore::builder(store)
            .handlers(handlers)
            .start()
            .await?,
    );

    let service = Arc::new(Service {
        core: Arc::clone(&core),
        template,
    });
    let router = Router::new()
        .route("/orders", post(take_order))
        .route("/orders/{task}", get(show_order))
        .with_state(service);
    let listener = TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);

    // Requests that were let in are answered before `serve` returns; only then are the actors drained.
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await?;
    let report = core.shutdown().await;
    println!("{report}");
    Ok(())
}
