# SPDX-License-Identifier: Apache-2.0
"""The other ways in which nginx calls: subrequests, mirrors, without buffers, without keep-alive."""
from harness import apps
from kit import Case, Row, Started

LOCATIONS = """
        location ~ ^/n/auth/([0-9]+)$ {{
            set $id $1;
            auth_request /check;
            proxy_pass http://behind/f/one/$id/0;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
        location = /check {{
            internal;
            proxy_pass http://behind/f/one/$id/1;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }}
        location ~ ^/n/mirror/([0-9]+)$ {{
            set $id $1;
            mirror /copy;
            proxy_pass http://behind/f/one/$id/0;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
        location = /copy {{
            internal;
            proxy_pass http://behind/f/one/$id/1;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
        location /n/unbuffered/ {{
            proxy_pass http://behind/f/unbuffered/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_request_buffering off;
        }}
        location /n/shut/ {{
            proxy_pass http://127.0.0.1:{port}/f/shut/;
        }}
"""


def start(env, case):
    leaf = apps.leaf(env)
    front = apps.nginx(env, f"127.0.0.1:{leaf.port}", workers=2,
                       locations=LOCATIONS.format(port=leaf.port))
    return Started(front, {"n": {front.pid}, "f": {leaf.pid}}, ("f",))


ROW = Row("nginx", start, [
    Case(["auth", "one"], "auth_request"),
    Case(["mirror", "one"], "mirror"),
    Case(["post", "unbuffered"], "POST, unbuffered"),
    Case(["shut", "one"], "no keep-alive behind"),
], tags=["nginx"], needs=["nginx"], service="n")
