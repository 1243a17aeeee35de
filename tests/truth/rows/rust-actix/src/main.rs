// SPDX-License-Identifier: Apache-2.0
//! actix-web and its client awc: a runtime of one thread per worker, whose tasks stay there.
//! ../../README.md has its duties.
use std::{env, time::Duration};

use actix_web::{
    rt::{spawn, time::sleep},
    web, App, HttpRequest, HttpResponse, HttpServer,
};
use awc::Client;
use futures_util::future::join_all;

async fn nap() {
    let at = Box::new(std::time::Instant::now());
    let mix = at.elapsed().subsec_nanos() as usize ^ (&*at as *const _ as usize >> 4);
    sleep(Duration::from_micros((mix.wrapping_mul(2654435761) >> 7) as u64 % 5000)).await
}

struct Caller {
    next: String,
    client: Client,
}

impl Caller {
    fn new() -> Self {
        Caller { next: env::var("NEXT").unwrap_or_default(), client: Client::default() }
    }

    async fn call(&self, path: &str) -> bool {
        match self.client.get(format!("{}/{path}", self.next)).send().await {
            Ok(mut resp) => resp.status() == 200 && resp.body().await.is_ok(),
            Err(_) => false,
        }
    }

    async fn ask(&self, id: &str, n: usize) -> bool {
        nap().await;
        self.call(&format!("one/{id}{n}")).await
    }
}

async fn shape(app: &web::Data<Caller>, shape: &str, id: String) -> bool {
    match shape {
        "none" => true,
        "seq" => {
            let mut ok = true;
            for n in 0..3 {
                ok &= app.ask(&id, n).await;
            }
            ok
        }
        "fan" => join_all((0..4).map(|n| app.ask(&id, n))).await.into_iter().all(|ok| ok),
        "after" => {
            let app = app.clone();
            spawn(async move {
                sleep(Duration::from_millis(10)).await;
                app.ask(&id, 0).await
            });
            true
        }
        _ => app.ask(&id, 0).await,
    }
}

async fn serve(req: HttpRequest, app: web::Data<Caller>) -> HttpResponse {
    let part: Vec<&str> = req.path().trim_matches('/').split('/').collect();
    let ok = match part[..] {
        [_, name, id] => shape(&app, name, format!("{id}/")).await,
        [_, name, id, k] => shape(&app, name, format!("{id}/{k}-")).await,
        _ => true,
    };
    nap().await;
    if ok { HttpResponse::Ok().body("done") } else { HttpResponse::InternalServerError().finish() }
}

async fn start() -> std::io::Result<()> {
    let noise = env::var("NOISE").ok().and_then(|ms| ms.parse().ok()).unwrap_or(0);
    spawn(async move {
        let caller = Caller::new();
        while noise > 0 {
            sleep(Duration::from_millis(noise)).await;
            caller.call("noise/0/0").await;
        }
    });
    HttpServer::new(|| {
        App::new().app_data(web::Data::new(Caller::new())).default_service(web::to(serve))
    })
    .workers(3)
    .bind(env::var("LISTEN").unwrap())?
    .run()
    .await
}

fn main() -> std::io::Result<()> {
    actix_web::rt::System::new().block_on(start())
}
