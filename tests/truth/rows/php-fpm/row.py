# SPDX-License-Identifier: Apache-2.0
"""PHP-FPM behind nginx over FastCGI, calling out with curl. nginx gives the path that it was asked for as
service n to PHP as one of service a."""
import glob
import shutil

from harness import apps, case as cases, proc
from kit import Case, Row, Started, beside

POOL = """\
[global]
error_log = {dir}/fpm.err
daemonize = no
[www]
listen = {listen}
listen.backlog = 511
pm = static
pm.max_children = 16
clear_env = no
"""
KEPT = """
    upstream php {{
        server {server};
        keepalive 8;
    }}
"""
LOCATION = """
        location ~ ^/n/(?<rest>.*)$ {{
            include {dir}/fastcgi_params;
            fastcgi_pass {server};
            fastcgi_keep_conn {keep};
            fastcgi_param SCRIPT_FILENAME {script};
            fastcgi_param REQUEST_URI /a/$rest;
        }}
"""
# As in nginx's own file of this name
PARAMS = """\
fastcgi_param QUERY_STRING $query_string;
fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param CONTENT_TYPE $content_type;
fastcgi_param CONTENT_LENGTH $content_length;
fastcgi_param SCRIPT_NAME $fastcgi_script_name;
fastcgi_param REQUEST_URI $request_uri;
fastcgi_param DOCUMENT_URI $document_uri;
fastcgi_param DOCUMENT_ROOT $document_root;
fastcgi_param SERVER_PROTOCOL $server_protocol;
fastcgi_param REQUEST_SCHEME $scheme;
fastcgi_param HTTPS $https if_not_empty;
fastcgi_param GATEWAY_INTERFACE CGI/1.1;
fastcgi_param SERVER_SOFTWARE nginx/$nginx_version;
fastcgi_param REMOTE_ADDR $remote_addr;
fastcgi_param REMOTE_PORT $remote_port;
fastcgi_param SERVER_ADDR $server_addr;
fastcgi_param SERVER_PORT $server_port;
fastcgi_param SERVER_NAME $server_name;
fastcgi_param REDIRECT_STATUS 200;
"""


def binary():
    """Debian names it by its version."""
    found = sorted(glob.glob("/usr/sbin/php-fpm*")) + [shutil.which("php-fpm")]
    if not found[0]:
        raise cases.Skip("php-fpm is not installed")
    return found[0]


def start(env, case):
    exe = binary()
    leaf = apps.leaf(env)
    conf = env.path("fpm.conf")
    unix = None if case.options.get("tcp") else env.path("fpm.sock")
    listen = unix or f"127.0.0.1:{proc.free_port()}"
    kept = case.options.get("kept", False)
    with open(conf, "w") as f:
        f.write(POOL.format(dir=env.dir, listen=listen))
    with open(env.path("fastcgi_params"), "w") as f:
        f.write(PARAMS)
    fpm = env.start("php-fpm", [exe, "-n", "-d", "extension=curl", "-R", "-y", conf],
                    env={"NEXT": leaf.url + "/l"})
    env.started(fpm, lambda: proc.accepts_unix(unix) if unix else
                proc.accepts("127.0.0.1", int(listen.split(":")[1])))
    server = f"unix:{unix}" if unix else listen
    front = apps.nginx(env, top=KEPT.format(server=server) if kept else "",
                       locations=LOCATION.format(dir=env.dir, script=beside(__file__, "app.php"), server="php" if kept else server,
        keep="on" if kept else "off"))
    return Started(front, {"n": {front.pid}, "a": {fpm.pid}, "l": {leaf.pid}},
                   behind={"n": "a", "a": "l"})


ALL = ["one", "seq", "none", "fan", "post", "stream"]
ERRORS = ["err", "timeout", "abort"]

ROW = Row("PHP-FPM behind nginx", start, [
    Case(ALL, "Unix socket", tags=["ci"]),
    Case(ALL, "TCP", tcp=True),
    Case(ALL, "Unix socket, kept connections", kept=True),
    Case(ALL, "TCP, kept connections", tcp=True, kept=True),
    Case(ERRORS, "errors"),
    # The worker may be at another request by then, one that is not seen
    Case(["after"], "after fastcgi_finish_request()", recall=0.0),
], tags=["php", "threads", "nginx"], needs=["nginx"], service="n")
