# SPDX-License-Identifier: Apache-2.0
"""PHP-FPM behind nginx over FastCGI, calling out with curl. FastCGI is not read yet: the request ends
in nginx, the calls begin in PHP, and nothing may be made up between them."""
import glob
import shutil

from harness import apps, case as cases, proc
from kit import Case, Row, Started, beside

POOL = """\
[global]
error_log = {dir}/fpm.err
daemonize = no
[www]
listen = {dir}/fpm.sock
listen.backlog = 511
pm = static
pm.max_children = 16
clear_env = no
"""
LOCATION = """
        location /a/ {{
            fastcgi_pass unix:{dir}/fpm.sock;
            fastcgi_param SCRIPT_FILENAME {script};
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param REQUEST_URI $request_uri;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param CONTENT_TYPE $content_type;
        }}
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
    with open(conf, "w") as f:
        f.write(POOL.format(dir=env.dir))
    fpm = env.start("php-fpm", [exe, "-n", "-d", "extension=curl", "-R", "-y", conf],
                    env={"NEXT": leaf.url + "/l"})
    env.started(fpm, lambda: proc.accepts_unix(env.path("fpm.sock")))
    front = apps.nginx(env, locations=LOCATION.format(dir=env.dir,
                                                      script=beside(__file__, "app.php")))
    return Started(front, {"a": {front.pid, fpm.pid}, "l": {leaf.pid}}, behind={"a": "l"})


ROW = Row("PHP-FPM behind nginx", start, [
    Case(["one", "seq", "none"], recall=0.0),
    Case(["fan", "post"], "curl_multi, POST", recall=0.0),
    Case(["err", "timeout", "abort"], "errors", recall=0.0),
], tags=["php", "threads", "nginx"], needs=["nginx"])
