// SPDX-License-Identifier: Apache-2.0
//! A service on tokio. Arguments: server (axum | hyper), client (reqwest | hyper), and the
//! runtime's worker threads (0: the runtime of one thread). ../../README.md has its duties.
use std::{
    cell::Cell,
    convert::Infallible,
    env,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use axum::{extract::Request, response::Response, Router};
use bytes::Bytes;
use futures_util::{
    future::{join_all, select_all},
    stream::{self, FuturesUnordered},
    StreamExt,
};
use http_body_util::{BodyExt, Full};
use hyper::{service::service_fn, StatusCode};
use hyper_util::{
    client::legacy::{connect::HttpConnector, Client},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, Semaphore},
    task::{spawn, spawn_blocking, yield_now, JoinHandle, JoinSet},
    time::{sleep, timeout},
};

type Answer = bool;

#[derive(Clone)]
enum Caller {
    Reqwest(reqwest::Client),
    Hyper(Client<HttpConnector, Full<Bytes>>),
}

struct Item {
    id: String,
    tell: oneshot::Sender<Answer>,
}

struct App {
    next: String,
    caller: Caller,
    blocking: ureq::Agent,
    limit: Semaphore,
    workers: Vec<mpsc::Sender<Item>>,
    mixer: mpsc::UnboundedSender<Item>,
    lazy: OnceLock<mpsc::UnboundedSender<Item>>,
    flush: Mutex<Vec<Item>>,
    handed: Mutex<Option<JoinHandle<()>>>,
}

fn random(below: u64) -> u64 {
    thread_local!(static STATE: Cell<u64> = const { Cell::new(0) });
    STATE.with(|s| {
        let mut x = s.get();
        if x == 0 {
            x = s as *const _ as u64 | 1;
        }
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        s.set(x);
        x % below
    })
}

/// NAP: microseconds at most, 5000 where it is not given. 0: measurements of cost.
async fn nap() {
    static MAX: OnceLock<u64> = OnceLock::new();
    let max = *MAX.get_or_init(|| env::var("NAP").ok().and_then(|us| us.parse().ok()).unwrap_or(5000));
    if max > 0 {
        sleep(Duration::from_micros(random(max))).await
    }
}

impl App {
    async fn ask(&self, ask: &str, id: &str, n: usize, body: Option<Bytes>) -> Answer {
        let url = format!("{}/{ask}/{id}{n}", self.next);
        match &self.caller {
            Caller::Reqwest(c) => {
                let req = match body {
                    Some(b) => c.post(url).body(b),
                    None => c.get(url),
                };
                let Ok(resp) = req.send().await else { return false };
                let ok = resp.status() == 200;
                resp.bytes().await.is_ok() && ok
            }
            Caller::Hyper(c) => {
                let method = if body.is_some() { "POST" } else { "GET" };
                let req = hyper::Request::builder().method(method).uri(url);
                let req = req.body(Full::new(body.unwrap_or_default())).unwrap();
                let Ok(resp) = c.request(req).await else { return false };
                let ok = resp.status() == 200;
                resp.into_body().collect().await.is_ok() && ok
            }
        }
    }

    async fn one(&self, id: &str) -> Answer {
        self.ask("one", id, 0, None).await
    }

    fn ask_blocking(&self, id: &str, n: usize) -> Answer {
        let url = format!("{}/one/{id}{n}", self.next);
        self.blocking.get(&url).call().is_ok_and(|r| r.into_string().is_ok())
    }
}

async fn queued(send: impl FnOnce(Item), id: String) -> Answer {
    let (tell, told) = oneshot::channel();
    send(Item { id, tell });
    told.await.unwrap_or(false)
}

async fn worker(app: Arc<App>, mut queue: mpsc::Receiver<Item>) {
    while let Some(item) = queue.recv().await {
        nap().await;
        let _ = item.tell.send(app.one(&item.id).await);
    }
}

/// One task that is at many items at once.
async fn mixer(app: Arc<App>, mut queue: mpsc::UnboundedReceiver<Item>) {
    let app = &*app;
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(item) = queue.recv() => running.push(async move {
                nap().await;
                let _ = item.tell.send(app.one(&item.id).await);
            }),
            Some(()) = running.next(), if !running.is_empty() => {}
        }
    }
}

async fn flusher(app: Arc<App>) {
    loop {
        nap().await;
        let items = std::mem::take(&mut *app.flush.lock().unwrap());
        for item in &items {
            app.one(&item.id).await;
        }
        for item in items {
            let _ = item.tell.send(true);
        }
        if app.flush.lock().unwrap().is_empty() {
            break; // one that comes now starts another
        }
    }
}

/// Puts the item into the list. Who finds it empty gets the flusher that is to be started.
fn listed(app: &Arc<App>, id: String) -> (oneshot::Receiver<Answer>, Option<JoinHandle<()>>) {
    let (tell, told) = oneshot::channel();
    let mut list = app.flush.lock().unwrap();
    list.push(Item { id, tell });
    (told, (list.len() == 1).then(|| spawn(flusher(app.clone()))))
}

async fn fan(app: &App, id: &str) -> Answer {
    let calls = (0..4).map(|n| async move {
        nap().await;
        app.ask("one", id, n, None).await
    });
    join_all(calls).await.into_iter().all(|ok| ok)
}

async fn seq(app: &App, id: &str) -> Answer {
    let mut ok = true;
    for n in 0..3 {
        nap().await;
        ok &= app.ask("one", id, n, None).await;
    }
    ok
}

async fn handle(app: &Arc<App>, shape: &str, id: String, body: Bytes) -> Answer {
    nap().await;
    let own = app.clone();
    match shape {
        "none" => true,
        "seq" => seq(app, &id).await,
        "fan" => fan(app, &id).await,
        "post" => app.ask("post", &id, 0, Some(body)).await,
        "err" | "abort" => app.ask(shape, &id, 0, None).await,
        "timeout" => {
            let call = app.ask("hang", &id, 0, None);
            timeout(Duration::from_millis(100), call).await.unwrap_or(false)
        }
        // a task of its own, which nobody waits for
        "after" => {
            spawn(async move {
                sleep(Duration::from_millis(10)).await;
                own.one(&id).await
            });
            true
        }
        "joined" => spawn(async move { own.one(&id).await }).await.unwrap(),
        "fanjoin" => {
            let task = |n| {
                let (app, id) = (app.clone(), id.clone());
                spawn(async move { app.ask("one", &id, n, None).await })
            };
            join_all((0..4).map(task)).await.into_iter().all(|r| r.unwrap())
        }
        "block" => spawn_blocking(move || own.ask_blocking(&id, 0)).await.unwrap(),
        "limit" => {
            let _permit = app.limit.acquire().await;
            app.one(&id).await
        }
        // whichever is first: the other is given up
        "select" => tokio::select! {
            ok = app.one(&id) => ok,
            () = sleep(Duration::from_secs(5)) => false,
        },
        "yield" => {
            yield_now().await;
            app.one(&id).await
        }
        "pool" => {
            let to = &app.workers[random(4) as usize];
            let (tell, told) = oneshot::channel();
            let _ = to.send(Item { id, tell }).await;
            told.await.unwrap_or(false)
        }
        "mixed" => queued(|i| drop(app.mixer.send(i)), id).await,
        "lazy" => {
            let to = app.lazy.get_or_init(|| {
                let (to, mut queue) = mpsc::unbounded_channel::<Item>();
                spawn(async move {
                    while let Some(item) = queue.recv().await {
                        let _ = item.tell.send(own.one(&item.id).await);
                    }
                });
                to
            });
            queued(|i| drop(to.send(i)), id).await
        }
        // the same in a set, and one more than a list of futures polls one by one
        "fanset" => {
            let mut set = JoinSet::new();
            for n in 0..4 {
                let (app, id) = (app.clone(), id.clone());
                set.spawn(async move { app.ask("one", &id, n, None).await });
            }
            set.join_all().await.into_iter().all(|ok| ok)
        }
        "fanmany" => {
            let task = |n: usize| {
                let (app, id) = (app.clone(), id.clone());
                spawn(async move { n >= 4 || app.ask("one", &id, n, None).await })
            };
            join_all((0..40).map(task)).await.into_iter().all(|r| r.unwrap())
        }
        "fanblock" => {
            let task = |n| {
                let (app, id) = (app.clone(), id.clone());
                spawn_blocking(move || app.ask_blocking(&id, n))
            };
            join_all((0..4).map(task)).await.into_iter().all(|r| r.unwrap())
        }
        // a task in a task
        "inner" => {
            let inner = async move { spawn(async move { own.one(&id).await }).await.unwrap() };
            spawn(inner).await.unwrap()
        }
        // asked for when it has long been done
        "later" => {
            let task = spawn(async move { own.one(&id).await });
            sleep(Duration::from_millis(20)).await;
            task.await.unwrap()
        }
        "fanstream" => {
            let task = |n| {
                let (app, id) = (app.clone(), id.clone());
                spawn(async move { app.ask("one", &id, n, None).await })
            };
            let mut answers = stream::iter((0..4).map(task)).buffer_unordered(2);
            let mut ok = true;
            while let Some(answer) = answers.next().await {
                ok &= answer.unwrap();
            }
            ok
        }
        "fanselect" => {
            let task = |n| {
                let (app, id) = (app.clone(), id.clone());
                spawn(async move { app.ask("one", &id, n, None).await })
            };
            let (mut tasks, mut ok): (Vec<_>, _) = ((0..4).map(task).collect(), true);
            while !tasks.is_empty() {
                let (answer, _, rest) = select_all(tasks).await;
                (tasks, ok) = (rest, ok & answer.unwrap());
            }
            ok
        }
        "fanblockset" => {
            let mut set = JoinSet::new();
            for n in 0..4 {
                let (app, id) = (app.clone(), id.clone());
                set.spawn_blocking(move || app.ask_blocking(&id, n));
            }
            let mut ok = true;
            while let Some(answer) = set.join_next().await {
                ok &= answer.unwrap();
            }
            ok
        }
        "intime" => {
            let task = spawn(async move { own.one(&id).await });
            timeout(Duration::from_secs(5), task).await.is_ok_and(|ok| ok.unwrap())
        }
        // three calls, one after the other, in a task
        "seqjoin" => spawn(async move { seq(&own, &id).await }).await.unwrap(),
        // given up before it calls
        "leave" => {
            let task = spawn(async move {
                sleep(Duration::from_millis(10)).await;
                own.one(&id).await
            });
            let _ = timeout(Duration::from_millis(2), task).await;
            sleep(Duration::from_millis(20)).await;
            true
        }
        // nobody waits for the flusher, its leader does for a moment only (a flusher that is done by
        // then would have been waited for), or somebody else does
        "flush" => listed(app, id).0.await.unwrap_or(false),
        "part" => {
            let (told, flusher) = listed(app, id);
            if let Some(flusher) = flusher {
                let _ = timeout(Duration::ZERO, flusher).await;
            }
            told.await.unwrap_or(false)
        }
        "hand" => {
            let (told, flusher) = listed(app, id);
            let before = match flusher {
                Some(flusher) => app.handed.lock().unwrap().replace(flusher),
                None => app.handed.lock().unwrap().take(),
            };
            if let Some(flusher) = before {
                flusher.await.unwrap();
            }
            told.await.unwrap_or(false)
        }
        _ => app.one(&id).await,
    }
}

/// "/SERVICE/SHAPE/ID[/K]"; a call's path ends in "ID/N", or "ID/K-N": all but N is made here.
async fn serve(app: Arc<App>, path: String, body: Bytes) -> StatusCode {
    let part: Vec<&str> = path.trim_matches('/').split('/').collect();
    let ok = match part[..] {
        [_, shape, id] => handle(&app, shape, format!("{id}/"), body).await,
        [_, shape, id, k] => handle(&app, shape, format!("{id}/{k}-"), body).await,
        _ => true,
    };
    nap().await;
    if ok { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR }
}

async fn read(body: impl hyper::body::Body<Data = Bytes>) -> Bytes {
    body.collect().await.map(|b| b.to_bytes()).unwrap_or_default()
}

async fn axum_server(app: Arc<App>, listener: TcpListener) {
    let all = move |req: Request| {
        let app = app.clone();
        async move {
            let path = req.uri().path().to_string();
            serve(app, path, read(req.into_body()).await).await
        }
    };
    axum::serve(listener, Router::new().fallback(all)).await.unwrap()
}

async fn hyper_server(app: Arc<App>, listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let app = app.clone();
        let service = service_fn(move |req: hyper::Request<hyper::body::Incoming>| {
            let app = app.clone();
            async move {
                let path = req.uri().path().to_string();
                let status = serve(app, path, read(req.into_body()).await).await;
                let mut resp = Response::new(Full::new(Bytes::from_static(b"done")));
                *resp.status_mut() = status;
                Ok::<_, Infallible>(resp)
            }
        });
        let io = TokioIo::new(stream);
        spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
    }
}

async fn noise(app: Arc<App>) {
    let every = env::var("NOISE").ok().and_then(|ms| ms.parse().ok()).unwrap_or(0);
    while every > 0 {
        sleep(Duration::from_millis(every)).await;
        app.ask("noise", "0/", 0, None).await;
    }
}

async fn start(server: String, client: String) {
    let (senders, queues): (Vec<_>, Vec<_>) = (0..4).map(|_| mpsc::channel(64)).unzip();
    let (mixer_to, mixer_queue) = mpsc::unbounded_channel();
    let app = Arc::new(App {
        next: env::var("NEXT").unwrap_or_default(),
        caller: match client.as_str() {
            "hyper" => Caller::Hyper(Client::builder(TokioExecutor::new()).build_http()),
            _ => Caller::Reqwest(reqwest::Client::new()),
        },
        blocking: ureq::AgentBuilder::new().max_idle_connections_per_host(64).build(),
        limit: Semaphore::new(4),
        workers: senders,
        mixer: mixer_to,
        lazy: OnceLock::new(),
        flush: Mutex::new(Vec::new()),
        handed: Mutex::new(None),
    });
    for queue in queues {
        spawn(worker(app.clone(), queue));
    }
    spawn(mixer(app.clone(), mixer_queue));
    spawn(noise(app.clone()));
    let listener = TcpListener::bind(env::var("LISTEN").unwrap()).await.unwrap();
    match server.as_str() {
        "hyper" => hyper_server(app, listener).await,
        _ => axum_server(app, listener).await,
    }
}

fn main() {
    let mut args = env::args().skip(1);
    let mut next = || args.next().unwrap_or_default();
    let (server, client, threads) = (next(), next(), next().parse().unwrap_or(4));
    let mut builder = match threads {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build().unwrap().block_on(start(server, client));
}
