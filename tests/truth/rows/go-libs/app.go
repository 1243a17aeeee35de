// SPDX-License-Identifier: Apache-2.0

// A Go service that leaves its concurrency to libraries: errgroup, singleflight, a semaphore, conc.
// Obeys tests/truth/README.md.
package main

import (
	"context"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sourcegraph/conc"
	"github.com/sourcegraph/conc/pool"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
)

var next = os.Getenv("NEXT")

func nap() { time.Sleep(time.Duration(rand.Intn(5000)) * time.Microsecond) }

func get(ctx context.Context, url string) error {
	nap()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

type call func(n int) error

func withErrgroup(do call) error {
	var g errgroup.Group
	g.SetLimit(2)
	for n := 0; n < 4; n++ {
		g.Go(func() error { return do(n) })
	}
	return g.Wait()
}

func withConc(do call) error {
	var wg conc.WaitGroup
	var mu sync.Mutex
	var failed error
	for n := 0; n < 4; n++ {
		wg.Go(func() {
			if err := do(n); err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return failed
}

func withPool(do call) error {
	p := pool.New().WithMaxGoroutines(2).WithErrors()
	for n := 0; n < 4; n++ {
		p.Go(func() error { return do(n) })
	}
	return p.Wait()
}

var flights singleflight.Group

func withFlight(id string, do call) error {
	_, err, _ := flights.Do(id, func() (any, error) { return nil, do(0) })
	return err
}

func withFlightChan(ctx context.Context, id string, do call) error {
	select {
	case r := <-flights.DoChan(id, func() (any, error) { return nil, do(0) }):
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

var slots = semaphore.NewWeighted(3)

func withSlots(do call) error {
	ctx := context.Background()
	if err := slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer slots.Release(1)
	return do(0)
}

// ---- batches: one goroutine, started by the first item, makes the calls of all ----

type item struct {
	do   call
	done chan error
}

type batcher struct {
	sync.Mutex
	items []item
}

var batches batcher

// run takes what came in while it slept, makes the calls one after the other, then wakes everybody.
func (b *batcher) run(ctx context.Context) {
	time.Sleep(3 * time.Millisecond)
	b.Lock()
	items := b.items
	b.items = nil
	b.Unlock()
	for _, it := range items {
		it.done <- it.do(0)
	}
}

func (b *batcher) add(ctx context.Context, do call) error {
	it := item{do, make(chan error, 1)}
	b.Lock()
	b.items = append(b.items, it)
	if len(b.items) == 1 {
		go b.run(ctx)
	}
	b.Unlock()
	select {
	case err := <-it.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func serve(w http.ResponseWriter, req *http.Request) {
	part := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	if len(part) < 3 {
		fmt.Fprintln(w, "ok")
		return
	}
	do := func(n int) error {
		k := strconv.Itoa(n)
		if len(part) > 3 {
			k = part[3] + "-" + k
		}
		return get(context.Background(), next+"/one/"+part[2]+"/"+k)
	}
	var err error
	switch part[1] {
	case "errgroup":
		err = withErrgroup(do)
	case "conc":
		err = withConc(do)
	case "concpool":
		err = withPool(do)
	case "flight":
		err = withFlight(part[2], do)
	case "flightchan":
		err = withFlightChan(req.Context(), part[2], do)
	case "slots":
		err = withSlots(do)
	case "batch":
		err = batches.add(req.Context(), do)
	default:
		err = do(0)
	}
	nap()
	if err != nil {
		http.Error(w, err.Error(), 500)
		return
	}
	fmt.Fprintln(w, "done")
}

func main() {
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 64
	if ms, _ := strconv.Atoi(os.Getenv("NOISE")); ms > 0 {
		go func() {
			for range time.Tick(time.Duration(ms) * time.Millisecond) {
				_ = get(context.Background(), next+"/noise/0/0")
			}
		}()
	}
	panic(http.ListenAndServe(os.Getenv("LISTEN"), http.HandlerFunc(serve)))
}
