// SPDX-License-Identifier: Apache-2.0
//! hyper 0.14 on an old tokio, as server and as client. ../../README.md has its duties.
use std::{convert::Infallible, env, sync::Arc, time::Duration};

use futures_util::future::join_all;
use hyper::{
    body::to_bytes,
    client::HttpConnector,
    service::{make_service_fn, service_fn},
    Body, Client, Request, Response, Server,
};
use tokio::{
    sync::{broadcast, mpsc, oneshot, Mutex},
    time::{sleep, Instant},
};

struct Item(String, oneshot::Sender<bool>);

struct App {
    next: String,
    client: Client<HttpConnector>,
    one_at_a_time: Mutex<()>,
    queue: mpsc::Sender<Item>,
    news: broadcast::Sender<u64>,
}

async fn nap() {
    let at = Box::new(Instant::now());
    let mix = at.elapsed().subsec_nanos() as usize ^ (&*at as *const _ as usize >> 4);
    sleep(Duration::from_micros((mix.wrapping_mul(2654435761) >> 7) as u64 % 5000)).await
}

impl App {
    async fn ask(&self, id: &str, n: usize) -> bool {
        nap().await;
        let uri = format!("{}/one/{id}{n}", self.next).parse().unwrap();
        match self.client.get(uri).await {
            Ok(resp) => resp.status() == 200 && to_bytes(resp.into_body()).await.is_ok(),
            Err(_) => false,
        }
    }

    async fn shape(self: &Arc<Self>, shape: &str, id: String) -> bool {
        match shape {
            "none" => true,
            "seq" => {
                let mut ok = true;
                for n in 0..3 {
                    ok &= self.ask(&id, n).await;
                }
                ok
            }
            "fan" => join_all((0..4).map(|n| self.ask(&id, n))).await.into_iter().all(|ok| ok),
            // another channel's messages come to the same task meanwhile
            "news" => {
                let mut news = self.news.subscribe();
                let heard = async { news.recv().await.is_ok() };
                let (ok, heard) = tokio::join!(self.ask(&id, 0), heard);
                ok && heard
            }
            "lock" => {
                let _only = self.one_at_a_time.lock().await;
                self.ask(&id, 0).await
            }
            "pool" => {
                let (tell, told) = oneshot::channel();
                let _ = self.queue.send(Item(id, tell)).await;
                told.await.unwrap_or(false)
            }
            _ => self.ask(&id, 0).await,
        }
    }
}

async fn serve(app: Arc<App>, req: Request<Body>) -> Result<Response<Body>, Infallible> {
    let path = req.uri().path().to_string();
    let part: Vec<&str> = path.trim_matches('/').split('/').collect();
    let ok = match part[..] {
        [_, shape, id] => app.shape(shape, format!("{id}/")).await,
        [_, shape, id, k] => app.shape(shape, format!("{id}/{k}-")).await,
        _ => true,
    };
    nap().await;
    let status = if ok { 200 } else { 500 };
    Ok(Response::builder().status(status).body(Body::from("done")).unwrap())
}

#[tokio::main]
async fn main() {
    let (queue, mut items) = mpsc::channel::<Item>(16);
    let app = Arc::new(App {
        next: env::var("NEXT").unwrap_or_default(),
        client: Client::new(),
        one_at_a_time: Mutex::new(()),
        queue,
        news: broadcast::channel(16).0,
    });
    let noise = env::var("NOISE").ok().and_then(|ms| ms.parse().ok()).unwrap_or(0);
    let (worker, teller, noisy) = (app.clone(), app.clone(), app.clone());
    tokio::spawn(async move {
        while let Some(Item(id, tell)) = items.recv().await {
            let _ = tell.send(worker.ask(&id, 0).await);
        }
    });
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_millis(2)).await;
            let _ = teller.news.send(1);
        }
    });
    tokio::spawn(async move {
        while noise > 0 {
            sleep(Duration::from_millis(noise)).await;
            let uri = format!("{}/noise/0/0", noisy.next).parse().unwrap();
            if let Ok(resp) = noisy.client.get(uri).await {
                let _ = to_bytes(resp.into_body()).await;
            }
        }
    });
    let make = make_service_fn(move |_| {
        let app = app.clone();
        async move { Ok::<_, Infallible>(service_fn(move |req| serve(app.clone(), req))) }
    });
    let addr = env::var("LISTEN").unwrap().parse().unwrap();
    Server::bind(&addr).serve(make).await.unwrap();
}
