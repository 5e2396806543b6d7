//! The client against a real server, over each wire.

mod common;

use std::time::{Duration, Instant};

use common::Server;
use futures::StreamExt;
use runagent::client::{ChunkStream, OnDisconnect, RunAgentClient, Transport};
use runagent::{Reason, Value};
use serde_json::json;

const WIRES: [Transport; 2] = [Transport::Grpc, Transport::Http];

async fn texts(stream: ChunkStream) -> Vec<String> {
    stream.map(|chunk| chunk.unwrap().to_string()).collect().await
}

#[tokio::test]
async fn calls_and_streams_come_back_as_they_were_over_each_wire_and_by_discovery() {
    let Some(server) = Server::start() else { return };
    for wire in [Transport::Grpc, Transport::Http, Transport::Auto] {
        let echo = server.client("echo", wire).build().await.unwrap();
        assert_eq!(echo.run(&[("value", json!("Grüße"))]).await.unwrap(), "Grüße", "{wire:?}");
        let large = Value::from_json("[1,1.0,10000000000000000000000]").unwrap();
        assert_eq!(
            echo.call().kwarg("value", large.clone()).run().await.unwrap().to_json().replace(' ', ""),
            large.to_json()
        );

        let stream = server.client("echo_stream", wire).build().await.unwrap();
        let stream = stream.call().arg("a").arg(1).arg(json!({"b": null})).run_stream().await.unwrap();
        assert!(stream.invocation_id().is_some());
        assert_eq!(texts(stream).await.concat().replace(' ', ""), r#"a1{"b":null}"#, "{wire:?}");
    }
}

#[tokio::test]
async fn named_arguments_arrive_in_their_order_and_none_twice() {
    let Some(server) = Server::start() else { return };
    for wire in WIRES {
        let names = server.client("names", wire).build().await.unwrap();
        let kwargs = ["z", "a", "10", "é", "9", "b"].map(|name| (name, json!(1)));
        let order: Vec<String> = names.run(&kwargs).await.unwrap().to().unwrap();
        assert_eq!(order, ["z", "a", "10", "é", "9", "b"], "{wire:?}");

        let error = names.call().kwarg("a", 1).kwarg("b", 2).kwarg("a", 3).run().await.unwrap_err();
        assert_eq!(error.reason(), Reason::ValidationError, "{wire:?}");
        assert_eq!(error.message(), "Argument `a`: Given twice by name.", "{wire:?}");
        assert_eq!(error.violations()[0].field, "a", "{wire:?}");
    }
}

#[tokio::test]
async fn bytes_stay_bytes_over_grpc() {
    let Some(server) = Server::start() else { return };
    let echo = server.client("echo", Transport::Grpc).build().await.unwrap();
    let value = echo.call().arg(vec![0, 255]).run().await.unwrap();
    assert_eq!(value.as_bytes(), Some([0, 255].as_slice()));
}

#[tokio::test]
async fn errors_say_why_and_which_invocation() {
    let Some(server) = Server::start() else { return };
    for wire in WIRES {
        let fail = server.client("fail", wire).build().await.unwrap();
        let error = fail.run(&[("message", json!("boom"))]).await.unwrap_err();
        assert_eq!((error.reason(), error.message()), (Reason::ExecutionFailed, "boom"), "{wire:?}");
        assert!(error.invocation_id().is_some(), "{wire:?}");

        let typed = server.client("typed", wire).build().await.unwrap();
        let error = typed.run(&[("count", json!("many")), ("names", json!([]))]).await.unwrap_err();
        assert_eq!(error.violations()[0].field, "count", "{wire:?}");
    }
}

#[tokio::test]
async fn a_failed_stream_gives_its_chunks_and_then_one_error_and_no_more() {
    let Some(server) = Server::start() else { return };
    for wire in WIRES {
        let client = server.client("fail_stream", wire).build().await.unwrap();
        let mut stream = client.run_stream(&[("after", json!(2))]).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().to::<i64>().unwrap(), 1);
        assert_eq!(stream.next().await.unwrap().unwrap().to::<i64>().unwrap(), 2);
        assert_eq!(stream.next().await.unwrap().unwrap_err().reason(), Reason::ExecutionFailed, "{wire:?}");
        assert!(stream.next().await.is_none());
    }
}

#[tokio::test]
async fn who_drops_a_stream_or_closes_it_has_it_cancelled() {
    let Some(server) = Server::start() else { return };
    for wire in WIRES {
        for close in [false, true] {
            let mark = format!("{wire:?}-{close}");
            let client = server.client("linger_stream", wire).build().await.unwrap();
            let mut stream = client.run_stream(&[("count", json!(1)), ("mark", json!(mark))]).await.unwrap();
            assert!(stream.next().await.unwrap().is_ok());
            if close {
                stream.close().await;
            } else {
                drop(stream);
            }
            assert!(server.says("left", &mark).await, "{mark}");
        }
    }
}

#[tokio::test]
async fn who_drops_a_stream_while_it_waits_has_it_cancelled() {
    let Some(server) = Server::start() else { return };
    for wire in WIRES {
        let mark = format!("waiting-{wire:?}");
        let client = server.client("linger_stream", wire).build().await.unwrap();
        let mut stream = client.run_stream(&[("mark", json!(mark))]).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), stream.next()).await.is_err());
        drop(stream);
        assert!(server.says("left", &mark).await, "{mark}");
    }
}

#[tokio::test]
async fn who_drops_a_run_has_it_cancelled() {
    let Some(server) = Server::start() else { return };
    for wire in WIRES {
        let mark = format!("run-{wire:?}");
        let client = server.client("linger", wire).build().await.unwrap();
        let kwargs = [("mark", json!(mark))];
        tokio::select! {
            _ = client.run(&kwargs) => panic!("It lingers for a minute."),
            arrived = server.says("arrived", &mark) => assert!(arrived),
        }
        assert!(server.says("left", &mark).await, "{mark}");
    }
}

#[tokio::test]
async fn what_is_detached_runs_on_and_is_resumed_and_cancelled_by_its_id() {
    let Some(server) = Server::start() else { return };
    for wire in WIRES {
        let mark = format!("detached-{wire:?}");
        let client = server.client("linger_stream", wire).on_disconnect(OnDisconnect::Detach).build().await.unwrap();
        let mut stream = client.run_stream(&[("count", json!(3)), ("mark", json!(mark))]).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        let id = stream.invocation_id().unwrap();
        stream.close().await;

        let mut rest = client.resume(&id, 1).await.unwrap();
        assert_eq!(rest.next().await.unwrap().unwrap().to::<i64>().unwrap(), 2, "{wire:?}");
        client.cancel(&id).await.unwrap();
        assert_eq!(rest.next().await.unwrap().unwrap().to::<i64>().unwrap(), 3, "{wire:?}");
        assert_eq!(rest.next().await.unwrap().unwrap_err().reason(), Reason::Cancelled, "{wire:?}");
        assert!(server.says("left", &mark).await);
    }
}

#[tokio::test]
async fn a_timeout_ends_a_call_and_a_stream_in_time() {
    let Some(server) = Server::start() else { return };
    for wire in WIRES {
        let begin = Instant::now();
        let client = server.client("linger_stream", wire).timeout(Duration::from_millis(300)).build().await.unwrap();
        let mut stream = client.run_stream(&[("count", json!(1))]).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        assert_eq!(stream.next().await.unwrap().unwrap_err().reason(), Reason::Timeout, "{wire:?}");
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn one_request_id_runs_once() {
    let Some(server) = Server::start() else { return };
    let client = server.client("echo", Transport::Grpc).build().await.unwrap();
    let call = || client.call().kwarg("value", 1).request_id("the-one");
    assert_eq!(call().run().await.unwrap(), call().run().await.unwrap());
    let error = client.call().kwarg("value", 2).request_id("the-one").run().await.unwrap_err();
    assert_eq!(error.reason(), Reason::RequestIdReused);
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for wire in [Transport::Grpc, Transport::Http, Transport::Auto] {
        let client =
            RunAgentClient::builder("a", "t").address("127.0.0.1", port).transport(wire).build().await.unwrap();
        let begin = Instant::now();
        let error = client.run(&[]).await.unwrap_err();
        assert_eq!(error.reason(), Reason::ConnectionError, "{wire:?}");
        assert_eq!(error.message(), format!("No server answers at 127.0.0.1:{port}."), "{wire:?}");
        assert!(begin.elapsed() < Duration::from_secs(2), "{wire:?}");
    }
}

#[tokio::test]
async fn grpc_said_to_an_http_port_is_told_apart_from_nobody() {
    let Some(server) = Server::start() else { return };
    let client = RunAgentClient::builder("conformance", "echo")
        .address("127.0.0.1", server.http)
        .transport(Transport::Grpc)
        .build()
        .await
        .unwrap();
    let error = client.run(&[]).await.unwrap_err();
    assert!(error.message().contains("is not a RunAgent server's gRPC port"), "{error}");
}

#[test]
fn calls_may_be_made_from_any_task() {
    fn is_send<T: Send>(_: &T) {}
    fn is_shared<T: Send + Sync>() {}
    is_shared::<RunAgentClient>();
    is_shared::<runagent::RunAgentError>();
    let made = async {
        let client = RunAgentClient::new("a", "t", true).await?;
        client.run(&[]).await?;
        client.run_stream(&[]).await?.close().await;
        client.resume("i", 0).await?.close().await;
        client.cancel("i").await
    };
    is_send(&made);
}
