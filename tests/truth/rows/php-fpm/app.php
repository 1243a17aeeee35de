<?php
// SPDX-License-Identifier: Apache-2.0
// PHP-FPM behind nginx: one process serves one request at a time, calling out with curl. Handles
// live as long as a request; a share keeps their connections alive no longer than that either.
// Shapes as in ../../README.md.
$next = getenv("NEXT");

function nap() { usleep(random_int(0, 5000)); }

function handle(string $ask, string $id, string $k, ?string $body = null, int $limit_ms = 30000)
{
    global $next;
    $c = curl_init("$next/$ask/$id/$k");
    curl_setopt_array($c, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT_MS => $limit_ms]);
    if ($body !== null)
        curl_setopt_array($c, [CURLOPT_POST => true, CURLOPT_POSTFIELDS => $body,
                               CURLOPT_HTTPHEADER => ["Expect:"]]);
    return $c;
}

function good($c): bool
{
    $code = curl_getinfo($c, CURLINFO_RESPONSE_CODE);
    return $code > 0 && $code < 500;
}

function call(...$what): bool
{
    nap();
    $c = handle(...$what);
    return curl_exec($c) !== false && good($c);
}

function fan(string $id, callable $sub): bool
{
    $multi = curl_multi_init();
    $all = [];
    for ($n = 0; $n < 4; $n++) {
        $all[] = $c = handle("one", $id, $sub($n));
        curl_multi_add_handle($multi, $c);
    }
    do {
        curl_multi_exec($multi, $active);
        if ($active)
            curl_multi_select($multi, 1.0);
    } while ($active);
    return count(array_filter($all, "good")) == 4;
}

/* The answer begins before the call. */
function stream(string $id, string $k): bool
{
    echo "begun\n";
    flush();
    return call("one", $id, $k);
}

/* The answer is over before the call. */
function after(string $id, string $k): bool
{
    echo "ok\n";
    fastcgi_finish_request();
    return call("one", $id, $k);
}

$part = explode("/", trim($_SERVER["REQUEST_URI"], "/"));
if (count($part) < 3) {
    echo "ready\n";
    return;
}
[, $shape, $id] = $part;
$k = $part[3] ?? "";
$sub = fn($n) => $k === "" ? "$n" : "$k-$n";
$ok = match ($shape) {
    "none" => true,
    "seq" => call("one", $id, $sub(0)) & call("one", $id, $sub(1)) & call("one", $id, $sub(2)),
    "fan" => fan($id, $sub),
    "post" => call("post", $id, $sub(0), file_get_contents("php://input")),
    "err", "abort" => call($shape, $id, $sub(0)),
    "timeout" => call("hang", $id, $sub(0), null, 100),
    "stream" => stream($id, $sub(0)),
    "after" => after($id, $sub(0)),
    default => call("one", $id, $sub(0)),
};
nap();
if (!headers_sent())
    http_response_code($ok ? 200 : 500);
echo "ok\n";
