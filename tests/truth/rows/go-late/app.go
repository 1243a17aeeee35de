// SPDX-License-Identifier: Apache-2.0

// A Go service as its users write it, on one of several frameworks (SERVER) with one of several
// clients (CLIENT): the ways from a request to its calls. Obeys tests/truth/README.md.
package main

import (
	"context"
	"errors"
	"math/rand"
	"os"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

var (
	next = os.Getenv("NEXT")
	asks = map[string]string{"err": "err", "retry": "err", "retryable": "err", "giveup": "hang",
		"timeout": "hang", "post": "post"}
	errStatus = errors.New("answered with an error")
)

func nap() { time.Sleep(time.Duration(rand.Intn(5000)) * time.Microsecond) }

// request is what a handler works on.
type request struct {
	shape, id, k string
	body         []byte
	ctx          context.Context
}

// parse returns nil for a path that asks for nothing.
func parse(ctx context.Context, path string, body []byte) *request {
	part := strings.Split(strings.Trim(path, "/"), "/")
	if len(part) < 3 {
		return nil
	}
	r := &request{shape: part[1], id: part[2], body: body, ctx: ctx}
	if len(part) > 3 {
		r.k = part[3] + "-"
	}
	return r
}

func (r *request) url(n int) string {
	ask := asks[r.shape]
	if ask == "" {
		ask = "one"
	}
	return next + "/" + ask + "/" + r.id + "/" + r.k + strconv.Itoa(n)
}

// call makes the request's nth call with its context, bare without one.
func (r *request) call(n int) error { nap(); return send(r.ctx, "GET", r.url(n), nil) }
func (r *request) bare(n int) error {
	nap()
	return send(context.Background(), "GET", r.url(n), nil)
}

func (r *request) seq() error {
	for n := range 3 {
		if err := r.call(n); err != nil {
			return err
		}
	}
	return nil
}

func (r *request) post() error {
	nap()
	return send(r.ctx, "POST", r.url(0), r.body)
}

func (r *request) timeout() error {
	ctx, cancel := context.WithTimeoutCause(r.ctx, 100*time.Millisecond, errors.New("too slow"))
	defer cancel()
	return send(ctx, "GET", r.url(0), nil)
}

func (r *request) none() error { return nil }

var shapes = map[string]func(*request) error{
	"one": func(r *request) error { return r.call(0) }, "none": (*request).none,
	"bare": func(r *request) error { return r.bare(0) }, "err": func(r *request) error { return r.call(0) },
	"seq": (*request).seq, "post": (*request).post, "timeout": (*request).timeout,
	"retry": (*request).retry, "retryable": (*request).retryable, "breaker": (*request).breaker,
	"once": (*request).once, "iter": (*request).iterate, "pull": (*request).pull,
	"cond": (*request).cond, "pipeline": (*request).pipeline, "gather": (*request).gather,
	"wggo": (*request).wggo, "semin": (*request).semin, "lomap": (*request).lomap,
	"hystrix": (*request).hystrix, "giveup": (*request).giveup, "mw": (*request).last,
	"after": (*request).after, "bg": (*request).bg, "deepctx": (*request).deep, "cgo": (*request).cgo,
	"timer": (*request).timer, "timerctx": (*request).timerctx,
	"ants": (*request).ants, "antsctx": (*request).antsctx, "pond": (*request).pond,
	"loader": (*request).loader, "debounce": (*request).debounce, "broker": (*request).broker,
}

// handle answers with a status.
func (r *request) handle() int {
	do := shapes[r.shape]
	if do == nil {
		do = shapes["one"]
	}
	err := do(r)
	nap()
	if err != nil {
		// a connection that is given up is closed by its own goroutine, a little later
		time.Sleep(30 * time.Millisecond)
		return 500
	}
	return 200
}

func serve(ctx context.Context, path string, body []byte) int {
	if r := parse(ctx, path, body); r != nil {
		return r.handle()
	}
	return 200
}

// profile is what a build with -pgo is made from: the program's own load, for a moment.
func profile(path string) {
	f, err := os.Create(path)
	if err != nil {
		panic(err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		panic(err)
	}
	load()
	pprof.StopCPUProfile()
	if err := f.Close(); err != nil {
		panic(err)
	}
}

func main() {
	if len(os.Args) > 1 {
		profile(os.Args[1])
		return
	}
	send = clients[os.Getenv("CLIENT")]()
	startWorkers()
	if ms, _ := strconv.Atoi(os.Getenv("NOISE")); ms > 0 {
		go func() {
			for range time.Tick(time.Duration(ms) * time.Millisecond) {
				_ = send(context.Background(), "GET", next+"/noise/0/0", nil)
			}
		}()
	}
	panic(servers[os.Getenv("SERVER")](os.Getenv("LISTEN")))
}
