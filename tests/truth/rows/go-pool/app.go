// SPDX-License-Identifier: Apache-2.0

// A Go net/http service whose calls are made by other goroutines than the one that serves: workers
// fed by a channel, with and without the request's context, and a flusher started on demand.
// Shapes as in ../../README.md; standard library only.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

var next = os.Getenv("NEXT")

var client = &http.Client{Transport: &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 128}}

type job struct {
	ctx  context.Context
	path string
	body []byte
	err  chan error
}

var (
	work     = make(chan *job)
	lock     sync.Mutex
	items    []*job
	flushing bool
)

func nap() { time.Sleep(time.Duration(rand.Intn(5000)) * time.Microsecond) }

func call(ctx context.Context, path string, body []byte) error {
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	nap()
	req, err := http.NewRequestWithContext(ctx, method, next+"/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err = io.Copy(io.Discard, res.Body); err == nil && res.StatusCode >= 500 {
		err = fmt.Errorf("answered with %d", res.StatusCode)
	}
	return err
}

func (j *job) run() { j.err <- call(j.ctx, j.path, j.body) }

func worker() {
	for j := range work {
		j.run()
	}
}

// Serves all that wait, then ends.
func flusher() {
	for {
		lock.Lock()
		if len(items) == 0 {
			flushing = false
			lock.Unlock()
			return
		}
		j := items[0]
		items = items[1:]
		lock.Unlock()
		j.run()
	}
}

func flush(j *job) {
	lock.Lock()
	items = append(items, j)
	start := !flushing
	flushing = true
	lock.Unlock()
	if start {
		go flusher()
	}
}

func act(r *http.Request, shape, id, k string) error {
	sub := func(ask string, n int) string {
		return fmt.Sprintf("%s/%s/%s", ask, id, strings.TrimPrefix(fmt.Sprintf("%s-%d", k, n), "-"))
	}
	j := &job{context.Background(), sub("one", 0), nil, make(chan error, 1)}
	switch shape {
	case "none":
		return nil
	case "pool":
		work <- j
		return <-j.err
	case "poolctx":
		j.ctx = r.Context()
		work <- j
		return <-j.err
	case "flush":
		flush(j)
		return <-j.err
	}
	return call(r.Context(), j.path, nil)
}

func handle(w http.ResponseWriter, r *http.Request) {
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(part) < 3 {
		io.WriteString(w, "ready")
		return
	}
	err := act(r, part[1], part[2], strings.Join(part[3:], ""))
	nap()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	io.WriteString(w, "ok\n")
}

func main() {
	for i := 0; i < 4; i++ {
		go worker()
	}
	if ms, _ := strconv.Atoi(os.Getenv("NOISE")); ms > 0 {
		go func() {
			for range time.Tick(time.Duration(ms) * time.Millisecond) {
				go call(context.Background(), "noise/0/0", nil)
			}
		}()
	}
	log.Fatal(http.ListenAndServe(os.Getenv("LISTEN"), http.HandlerFunc(handle)))
}
