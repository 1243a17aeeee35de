// SPDX-License-Identifier: Apache-2.0

// A Go net/http service that calls another in all the ways in which a handler gets there: itself,
// by goroutines that it waits for, by workers, after its answer. Obeys tests/truth/README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	next   = os.Getenv("NEXT")
	client = &http.Client{Transport: transport()}
	asks   = map[string]string{"err": "err", "timeout": "hang", "abort": "abort", "post": "post"}
)

func transport() *http.Transport {
	t := &http.Transport{MaxIdleConnsPerHost: 64}
	t.MaxConnsPerHost, _ = strconv.Atoi(os.Getenv("MAX_CONNS"))
	return t
}

func nap() { time.Sleep(time.Duration(rand.Intn(5000)) * time.Microsecond) }

// request is what a handler works on.
type request struct {
	shape, id, k string
	body         []byte
	ctx          context.Context
}

func (r *request) url(n int) string {
	ask := asks[r.shape]
	if ask == "" {
		ask = "one"
	}
	k := strconv.Itoa(n)
	if r.k != "" {
		k = r.k + "-" + k
	}
	return fmt.Sprintf("%s/%s/%s/%s", next, ask, r.id, k)
}

func send(ctx context.Context, method, url string, body io.Reader) error {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	if strings.Contains(url, "/abort/") { // a body that cannot be had again: no second try
		req.Body = io.NopCloser(strings.NewReader(""))
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode >= 400 {
		return errors.New(resp.Status)
	}
	return nil
}

// call makes the request's nth call: with its context, or with none.
func (r *request) call(n int) error { nap(); return send(r.ctx, "GET", r.url(n), nil) }
func (r *request) bare(n int) error {
	nap()
	return send(context.Background(), "GET", r.url(n), nil)
}

// ---- goroutines that are waited for ----

func (r *request) fan() error {
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for n := 0; n < 4; n++ {
		n := n
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[n] = r.bare(n)
		}()
	}
	wg.Wait()
	return first(errs)
}

func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// group has the shape of golang.org/x/sync/errgroup.Group.
type group struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	sem    chan struct{}
	once   sync.Once
	err    error
}

func (g *group) Go(f func() error) {
	if g.sem != nil {
		g.sem <- struct{}{}
	}
	g.wg.Add(1)
	go func() {
		defer g.done()
		if err := f(); err != nil {
			g.once.Do(func() {
				g.err = err
				if g.cancel != nil {
					g.cancel()
				}
			})
		}
	}()
}

func (g *group) done() {
	if g.sem != nil {
		<-g.sem
	}
	g.wg.Done()
}

func (g *group) Wait() error { g.wg.Wait(); return g.err }

func (r *request) group(with bool) error {
	g := &group{}
	ctx := context.Background()
	if with {
		ctx, g.cancel = context.WithCancel(r.ctx)
		defer g.cancel()
	}
	for n := 0; n < 4; n++ {
		n := n
		g.Go(func() error { nap(); return send(ctx, "GET", r.url(n), nil) })
	}
	return g.Wait()
}

func (r *request) channel() error {
	done := make(chan error)
	go func() { done <- r.bare(0) }()
	return <-done
}

func (r *request) choose() error {
	done := make(chan error, 1)
	go func() { done <- r.bare(0) }()
	select {
	case err := <-done:
		return err
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

func (r *request) nested() error {
	done := make(chan error)
	go func() { go func() { done <- r.bare(0) }() }()
	return <-done
}

// safely is how many programs start goroutines: a wrapper that does not let a panic through.
func safely(f func()) {
	go func() {
		defer func() { _ = recover() }()
		f()
	}()
}

func (r *request) wrapped() error {
	var wg sync.WaitGroup
	var err error
	wg.Add(1)
	safely(func() { defer wg.Done(); err = r.bare(0) })
	wg.Wait()
	return err
}

// ---- workers ----

type item struct {
	r    *request
	ctx  context.Context
	done chan error
}

var (
	queue = make(chan *item)
	lazy  = make(chan *item)
	start sync.Once
)

func work(q chan *item) {
	for it := range q {
		nap()
		it.done <- send(it.ctx, "GET", it.r.url(0), nil)
	}
}

func (r *request) queued(q chan *item, ctx context.Context) error {
	it := &item{r, ctx, make(chan error, 1)}
	q <- it
	return <-it.done
}

func (r *request) lazily(ctx context.Context) error {
	start.Do(func() {
		for i := 0; i < 4; i++ {
			go work(lazy)
		}
	})
	return r.queued(lazy, ctx)
}

var flusher struct {
	sync.Mutex
	items []*item
	runs  bool
}

func flush() {
	for {
		flusher.Lock()
		items := flusher.items
		flusher.items = nil
		if len(items) == 0 {
			flusher.runs = false
			flusher.Unlock()
			return
		}
		flusher.Unlock()
		for _, it := range items {
			nap()
			it.done <- send(context.Background(), "GET", it.r.url(0), nil)
		}
	}
}

func (r *request) flushed() error {
	it := &item{r, nil, make(chan error, 1)}
	flusher.Lock()
	flusher.items = append(flusher.items, it)
	if !flusher.runs {
		flusher.runs = true
		go flush()
	}
	flusher.Unlock()
	return <-it.done
}

// ---- after the answer ----

// detached is a context that outlives its request (context.WithoutCancel, since 1.21).
type detached struct{ context.Context }

func (detached) Deadline() (time.Time, bool) { return time.Time{}, false }
func (detached) Done() <-chan struct{}       { return nil }
func (detached) Err() error                  { return nil }

func (r *request) later() error {
	ctx := detached{r.ctx}
	go func() {
		for i := 0; i < 4; i++ {
			nap()
		}
		_ = send(ctx, "GET", r.url(0), nil)
	}()
	return nil
}

func (r *request) handle() error {
	switch r.shape {
	case "none":
		return nil
	case "seq":
		return first([]error{r.call(0), r.bare(1), r.call(2)})
	case "post":
		nap()
		return send(r.ctx, "POST", r.url(0), strings.NewReader(string(r.body)))
	case "bare":
		return r.bare(0)
	case "fan":
		return r.fan()
	case "errgroup":
		return r.group(false)
	case "errgroupctx":
		return r.group(true)
	case "channel":
		return r.channel()
	case "choose":
		return r.choose()
	case "nested":
		return r.nested()
	case "wrapped":
		return r.wrapped()
	case "pool":
		return r.queued(queue, context.Background())
	case "poolctx":
		return r.queued(queue, r.ctx)
	case "lazy":
		return r.lazily(context.Background())
	case "lazyctx":
		return r.lazily(r.ctx)
	case "flush":
		return r.flushed()
	case "after":
		return r.later()
	case "bg":
		go func() { nap(); nap(); nap(); _ = r.bare(0) }()
		return nil
	case "timeout":
		ctx, cancel := context.WithTimeout(r.ctx, 100*time.Millisecond)
		defer cancel()
		return send(ctx, "GET", r.url(0), nil)
	}
	return r.call(0)
}

func serve(w http.ResponseWriter, req *http.Request) {
	part := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	if len(part) < 3 {
		fmt.Fprintln(w, "ok")
		return
	}
	r := &request{shape: part[1], id: part[2], ctx: req.Context()}
	if len(part) > 3 {
		r.k = part[3]
	}
	r.body, _ = io.ReadAll(req.Body)
	err := r.handle()
	nap()
	if err != nil {
		// a connection that is given up is closed by its own goroutine, a little later
		time.Sleep(5 * time.Millisecond)
		http.Error(w, err.Error(), 500)
		return
	}
	w.Header().Set("Content-Length", "5")
	fmt.Fprintln(w, "done")
}

func noise(every time.Duration) {
	for range time.Tick(every) {
		_ = send(context.Background(), "GET", next+"/noise/0/0", nil)
	}
}

func main() {
	if ms, _ := strconv.Atoi(os.Getenv("NOISE")); ms > 0 {
		go noise(time.Duration(ms) * time.Millisecond)
	}
	for i := 0; i < 4; i++ {
		go work(queue)
	}
	panic(http.ListenAndServe(os.Getenv("LISTEN"), http.HandlerFunc(serve)))
}
