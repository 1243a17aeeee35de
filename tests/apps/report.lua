-- SPDX-License-Identifier: Apache-2.0
-- wrk's figures as one line of JSON.
done = function(summary, latency, requests)
  local e = summary.errors
  print(string.format('{"requests":%d,"rps":%.1f,"p50_ms":%.4f,"p99_ms":%.4f,"errors":%d}',
    summary.requests, summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    e.connect + e.read + e.write + e.status + e.timeout))
end
