//! What a person has to mend is said in one line, and shows no secret.

use crate::support::{Bench, options, spec};
use clowder_core::reconcile::Backoff;
use clowder_core::{Secret, chain};
use clowder_oxide::{ImageSource, ImageSpec, Login, MissingProject, Network, Rack};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

/// Serves this to everybody who asks, and says that it has such a length, until it is dropped with the test.
async fn serve(status: &'static str, body: Vec<u8>, length: usize) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://ann:pw@{}/debian.raw?token=hidden", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let asked = String::from_utf8_lossy(&request[..read]).to_lowercase();
            assert!(!asked.contains("oxide-token"), "the rack's token is nobody else's");
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body).await;
        }
    });
    url.parse().unwrap()
}

async fn importing(status: &'static str, body: Vec<u8>) -> Bench {
    let length = body.len();
    importing_part(status, body, length).await
}

async fn importing_part(status: &'static str, body: Vec<u8>, length: usize) -> Bench {
    let mut spec = spec(1);
    let source = Some(ImageSource { url: serve(status, body, length).await, block_size: 512 });
    let image = ImageSpec { name: "debian-13".to_owned(), source };
    spec.servers.image = image.clone();
    spec.pools.values_mut().for_each(|pool| pool.image = image.clone());
    Bench::new(options(), spec).await
}

#[tokio::test]
async fn a_wrong_token() {
    let bench = Bench::new(options(), spec(1)).await;
    let mut controller = bench.controller_with(bench.client("not-the-token"));
    let error = controller.settle().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "127.0.0.1 does not take the token: it is wrong or has expired; log in again or give another"
    );
    let said = controller.status().borrow().unseen.clone().unwrap();
    assert!(!said.contains("not-the-token"));
    let login = Login { url: bench.rack.url().clone(), token: Secret::new("two\nlines") };
    let error = Rack::new(&login, "clowder", &Network::default()).err().unwrap();
    assert!(!error.to_string().contains("two"), "{error}");
}

#[tokio::test]
async fn nobody_at_the_address() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut bench = Bench::new(options(), spec(1)).await;
    let login = Login { url: format!("http://{free}").parse().unwrap(), token: Secret::new("oxide-token-1") };
    let at_once = Backoff { first: Duration::ZERO, most: Duration::ZERO };
    let rack = Rack::new(&login, "clowder", &Network::default()).unwrap().with_retry(at_once);
    let mut controller = bench.controller_with(rack);
    let error = bench.round(&mut controller).await.unwrap_err();
    let line = chain(&error);
    assert!(
        line.starts_with("127.0.0.1 cannot be reached to look at the project: check the address and the network: "),
        "{line}"
    );
    assert!(!line.contains("oxide-token") && !line.contains('\n'), "{line}");
}

#[tokio::test]
async fn an_unknown_project() {
    let mut spec = spec(1);
    spec.missing_project = MissingProject::Refuse;
    let bench = Bench::new(options(), spec).await;
    let mut controller = bench.controller();
    let error = controller.settle().await.unwrap_err();
    assert_eq!(error.to_string(), "127.0.0.1 has no project clowder: create it, or name another");
    let foreseen = controller.foresee().await.unwrap();
    assert_eq!(foreseen.problems, ["there is no project clowder: create it, or name another"]);
    assert_eq!(bench.rack.mutating_calls(), []);
}

#[tokio::test]
async fn an_image_is_imported_and_nothing_is_left_over() {
    let mut image = vec![0_u8; (2 << 20) + 512];
    image[700_000] = 1;
    *image.last_mut().unwrap() = 2;
    let mut bench = importing("200 OK", image.clone()).await;
    bench.limits.parallel.blocks = 3;
    let mut controller = bench.controller();
    bench.settle(&mut controller).await;
    let state = bench.rack.state();
    let found = state.image("debian-13").unwrap();
    assert_eq!(found.content.read(), image);
    assert!(found.content.written() < image.len() as u64, "zeros are not sent");
    assert!(state.snapshots.is_empty(), "{:?}", state.snapshots);
    assert!(state.disks.iter().all(|disk| !disk.view.name.starts_with("import")));
    let heard = bench.heard();
    assert!(heard.contains(&"import image debian-13: 0 %".to_owned()), "{heard:#?}");
    assert!(heard.contains(&"import image debian-13: 100 %".to_owned()));
}

#[tokio::test]
async fn bad_images_are_told_and_leave_nothing() {
    let mut qcow2 = vec![0; 512];
    qcow2[..4].copy_from_slice(b"QFI\xfb");
    for (status, body, why) in [
        ("404 Not Found", Vec::new(), "the server answers 404 Not Found"),
        ("200 OK", qcow2, "it is a qcow2 image: convert it to a raw one"),
        ("200 OK", vec![1; 500], "its 500 bytes are no whole blocks of 512: it is no raw image of such"),
    ] {
        let mut bench = importing(status, body).await;
        let mut controller = bench.controller();
        let status = bench.rounds(&mut controller, 60).await;
        let problems = status.problems.join("\n");
        assert!(problems.contains(why) && !problems.contains("hidden") && !problems.contains("pw"), "{problems}");
        assert_eq!(status.problems.len(), 1);
        assert!(bench.rack.state().disks.is_empty());
    }
}

#[tokio::test]
async fn an_image_that_breaks_off_is_told_and_tried_less_and_less_often() {
    let mut bench = importing_part("200 OK", vec![7; 1 << 20], 2 << 20).await;
    let mut controller = bench.controller();
    let told = bench.rounds(&mut controller, 180).await.problems;
    assert!(
        told.len() == 1 && told[0].starts_with("image debian-13 cannot be imported from http://127.0.0.1:"),
        "{told:?}"
    );
    let calls = bench.rack.mutating_calls();
    let tries = calls.iter().filter(|call| call.operation_id() == "disk_create").count();
    // An hour, in which waits grow to five minutes.
    assert!((5..20).contains(&tries), "{tries} tries");
    let state = bench.rack.state();
    assert!(state.disks.len() <= 1 && state.images.iter().all(|one| *one.view.name != *"debian-13"));
}

#[tokio::test]
async fn an_import_that_is_cut_short_anywhere_is_done_anew() {
    use clowder_oxide_simulator::CrashPoint;
    let image = vec![7_u8; 2 << 20];
    for changes in 1..16 {
        for answered in [true, false] {
            let mut bench = importing("200 OK", image.clone()).await;
            let point = CrashPoint::after_changes(changes);
            bench.rack.stop_after(if answered { point } else { point.without_answer() });
            let mut controller = bench.controller();
            while !bench.rack.is_stopped() {
                bench.rounds(&mut controller, 1).await;
            }
            bench.rack.revive();
            let mut controller = bench.controller();
            bench.settle(&mut controller).await;
            let state = bench.rack.state();
            assert_eq!(state.image("debian-13").unwrap().content.read(), image);
            assert!(state.snapshots.is_empty() && state.disks.len() == 1, "{:#?}", bench.shape());
        }
    }
}
