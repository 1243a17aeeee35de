// SPDX-License-Identifier: Apache-2.0
// What llhttp, as built into Node, reads from conversations: one JSON line per exchange.
// Usage: node http1_oracle.js FILE...     (files: see tests/unit/proto/http1_dump.c)
'use strict';
const fs = require('fs');
const { HTTPParser, allMethods, methods } = process.binding('http_parser');
const names = allMethods || methods;

const WANTED = ['host', 'user-agent', 'traceparent', 'forwarded', 'x-forwarded-for',
                'x-forwarded-proto', 'content-type'];

// A parser of one direction that calls `done` with each message.
function reader(type, headersDone, done) {
  const parser = new HTTPParser();
  let raw = [], url = '', message = null;

  parser.initialize(type, {});
  parser[HTTPParser.kOnHeaders | 0] = (headers, more) => {
    if (message) return; // trailers
    raw = raw.concat(headers);
    url = more || url;
  };
  parser[HTTPParser.kOnHeadersComplete | 0] = (major, minor, headers, method, target, status) => {
    message = { minor, method: names[method], target: target || url, status, body: 0,
                raw: raw.concat(headers || []) };
    raw = [];
    url = '';
    return headersDone(message);
  };
  parser[HTTPParser.kOnBody | 0] = (chunk) => { message.body += chunk.length; };
  parser[HTTPParser.kOnMessageComplete | 0] = () => {
    const m = message;
    message = null;
    raw = [];
    done(m);
  };
  return parser;
}

function first(raw, name) {
  for (let i = 0; i < raw.length; i += 2)
    if (raw[i].toLowerCase() === name) return raw[i + 1];
  return '';
}

function all(raw, name) {
  const out = [];
  for (let i = 0; i < raw.length; i += 2)
    if (raw[i].toLowerCase() === name) out.push(raw[i + 1]);
  return out;
}

function converse(file) {
  const data = fs.readFileSync(file);
  const started = [], exchanges = [];
  let finals = 0;

  const requests = reader(HTTPParser.REQUEST, (m) => { started.push(m); return 0; }, () => {});
  const responses = reader(HTTPParser.RESPONSE, (m) => {
    if (m.status < 200) return 0;
    const method = started[finals].method;
    return method === 'HEAD' ? 1 : 0;
  }, (m) => {
    if (m.status >= 200) exchanges.push([started[finals++], m]);
  });
  for (let at = 0; at < data.length;) {
    const server = data[at], n = data.readUInt32LE(at + 1);
    const parser = server ? responses : requests;
    const used = n ? parser.execute(data.subarray(at + 5, at + 5 + n)) : parser.finish();
    if (used instanceof Error) throw new Error(`${file}: ${used.message} ${used.code}`);
    at += 5 + n;
  }
  for (const [q, s] of exchanges) {
    const line = { method: q.method, target: q.target, minor: q.minor, status: s.status,
                   resp_minor: s.minor, req_body: q.body, resp_body: s.body };
    for (const name of WANTED) line[name] = first(q.raw, name);
    line.tracestate = all(q.raw, 'tracestate').join(',');
    line.duplicate_traceparent = all(q.raw, 'traceparent').length > 1 ? 1 : 0;
    console.log(JSON.stringify(line));
  }
  console.log('');
}

process.argv.slice(2).forEach(converse);
