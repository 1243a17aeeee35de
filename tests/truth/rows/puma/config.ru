# SPDX-License-Identifier: Apache-2.0
# A Rack application on Puma: a pool of threads, calling out with Net::HTTP, one kept connection per
# thread and host. Shapes as in ../../README.md.
require "net/http"
require "uri"

NEXT = URI(ENV.fetch("NEXT"))
POOL = Queue.new # idle connections

def nap
  sleep(rand * 0.005)
end

def borrow
  POOL.pop(true)
rescue ThreadError
  http = Net::HTTP.new(NEXT.host, NEXT.port)
  http.keep_alive_timeout = 60
  http.max_retries = 0
  http.start
end

# True: answered, and not with an error
def call(ask, id, k, body = nil, limit = 30)
  nap
  path = "#{NEXT.path}/#{ask}/#{id}/#{k}"
  http = borrow
  http.read_timeout = limit
  res = body ? http.post(path, body) : http.get(path)
  POOL << http
  res.code.to_i < 500
rescue Net::ReadTimeout, SystemCallError, IOError
  http&.finish
  false
end

ITEMS = Queue.new
4.times do
  Thread.new do
    loop do
      id, k, done = ITEMS.pop
      done << call("one", id, k)
    end
  end
end

def act(env, shape, id, k, body)
  sub = ->(n) { k.empty? ? n.to_s : "#{k}-#{n}" }
  case shape
  when "none" then true
  when "seq" then (0..2).map { |n| call("one", id, sub[n]) }.all?
  when "fan" then (0..3).map { |n| Thread.new { call("one", id, sub[n]) } }.map(&:value).all?
  when "post" then call("post", id, sub[0], body)
  when "err", "abort" then call(shape, id, sub[0])
  when "timeout" then call("hang", id, sub[0], nil, 0.1)
  when "pool"
    done = Queue.new
    ITEMS << [id, sub[0], done]
    done.pop
  when "after"
    env["rack.after_reply"] << -> { call("one", id, sub[0]) }
    true
  else call("one", id, sub[0])
  end
end

noise = ENV.fetch("NOISE", "0").to_f / 1000
if noise > 0
  Thread.new do
    loop do
      sleep noise
      call("noise", 0, 0)
    end
  end
end

run lambda { |env|
  _, _, shape, id, k = env["PATH_INFO"].split("/", 5)
  if id.nil?
    [200, { "content-type" => "text/plain", "content-length" => "6" }, ["ready\n"]]
  else
    ok = act(env, shape, id, k.to_s, env["rack.input"].read)
    nap
    [ok ? 200 : 500, { "content-type" => "text/plain", "content-length" => "3" }, ["ok\n"]]
  end
}
