# SPDX-License-Identifier: Apache-2.0
"""The threaded WSGI service of the test chains: Flask on werkzeug, one thread per connection,
calling the service behind with requests.

A request /w/SHAPE/ID/K causes the calls that tests/truth/shapes.py lists for its shape.

Environment: LISTEN (HOST:PORT), GO (base URL of the service behind).
"""
import os
import random
import time

import requests
from flask import Flask, request
from werkzeug.serving import WSGIRequestHandler, run_simple

GO = os.environ.get("GO", "")

app = Flask(__name__)
session = requests.Session()
session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=128))


def nap(ms=5):
    time.sleep(random.random() * ms / 1000)


@app.route("/w/one/<int:i>/<k>")
@app.route("/w/one/<int:i>", defaults={"k": ""})
def one(i, k):
    nap()
    r = session.get(f"{GO}/g/one/{i}/{k}-0".replace("/-", "/"))
    return {"from": "flask", "id": i, "behind": r.status_code}


@app.route("/w/seq/<int:i>", defaults={"k": ""})
def seq(i, k):
    for n in range(3):
        nap()
        session.get(f"{GO}/g/one/{i}/{n}")
    return {"from": "flask", "id": i}


@app.route("/w/post/<int:i>/<k>", methods=["POST"])
@app.route("/w/post/<int:i>", defaults={"k": ""}, methods=["POST"])
def post(i, k):
    body = request.get_data()
    nap()
    r = session.post(f"{GO}/g/post/{i}/{k}-0".replace("/-", "/"), data=body)
    return {"from": "flask", "id": i, "behind": r.status_code}


@app.route("/ready")
def ready():
    return "ready"


if __name__ == "__main__":
    WSGIRequestHandler.protocol_version = "HTTP/1.1"  # keep-alive; the default is 1.0
    WSGIRequestHandler.log_request = lambda *args, **kwargs: None
    host, port = os.environ["LISTEN"].rsplit(":", 1)
    run_simple(host.strip("[]"), int(port), app, threaded=True)
