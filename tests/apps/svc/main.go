// SPDX-License-Identifier: Apache-2.0

// A Go net/http service of the test chains. A request /g/SHAPE/ID/K causes the calls that
// tests/truth/shapes.py lists for its shape, each after a random sleep, so that answers come
// out of order. No modules beyond the standard library.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

var (
	listen  = flag.String("listen", "127.0.0.1:0", "address, or unix:PATH")
	leaf    = flag.String("leaf", "", "base URL of the service behind, empty: none")
	noise   = flag.Duration("noise", 0, "period of calls that no request causes, 0: none")
	storm   = flag.Int("storm", 0, "goroutines a second that do nothing")
	quick   = flag.Bool("quick", false, "answer at once; /call makes one call before, /fan four in goroutines")
	service = flag.String("service", "g", "first component of the paths served")
)

var client = &http.Client{Transport: &http.Transport{
	MaxIdleConns:        256,
	MaxIdleConnsPerHost: 128,
}}

func nap(ms int) { time.Sleep(time.Duration(rand.Intn(ms*1000)) * time.Microsecond) }

// One call to the service behind. ctx may be nil: a program that does not pass its context on.
func call(ctx context.Context, shape, id, k string, body []byte) error {
	if *leaf == "" {
		return nil
	}
	method, url := http.MethodGet, fmt.Sprintf("%s/l/%s/%s/%s", *leaf, shape, id, k)
	if body != nil {
		method = http.MethodPost
	}
	if ctx == nil {
		ctx = context.Background()
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// What a request of this shape does before it is answered.
func act(r *http.Request, shape, id, k string) error {
	var sub = func(i int) string { return strings.TrimPrefix(fmt.Sprintf("%s-%d", k, i), "-") }

	switch shape {
	case "e404", "noise", "none":
		return nil
	case "seq": // three calls, one after the other, without the request's context
		for i := 0; i < 3; i++ {
			nap(5)
			if err := call(nil, shape, id, sub(i), nil); err != nil {
				return err
			}
		}
		return nil
	case "fan": // three goroutines with the request's context
		var wg sync.WaitGroup
		errs := make([]error, 3)
		for i := 0; i < 3; i++ {
			wg.Add(1)
			go func(i int) {
				defer wg.Done()
				nap(5)
				errs[i] = call(r.Context(), shape, id, sub(i), nil)
			}(i)
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nil
	case "post":
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		return call(r.Context(), shape, id, sub(0), body)
	case "slow":
		time.Sleep(100 * time.Millisecond)
	}
	return call(nil, shape, id, sub(0), nil)
}

// What the benchmark asks for: no sleep, and goroutines that know no context.
func quickly(path string) {
	switch path {
	case "/call":
		_ = call(nil, "one", "0", "0", nil)
	case "/fan":
		var wg sync.WaitGroup
		for i := 0; i < 4; i++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				_ = call(nil, "one", "0", "0", nil)
			}()
		}
		wg.Wait()
	}
}

func handle(w http.ResponseWriter, r *http.Request) {
	if *quick {
		quickly(r.URL.Path)
		io.WriteString(w, "hello")
		return
	}
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(part) < 3 || part[0] != *service {
		io.WriteString(w, "ready")
		return
	}
	k := ""
	if len(part) > 3 {
		k = part[3]
	}
	nap(5)
	err := act(r, part[1], part[2], k)
	nap(5)
	switch {
	case err != nil:
		log.Print(err)
		w.WriteHeader(http.StatusBadGateway)
	case part[1] == "e404":
		w.WriteHeader(http.StatusNotFound)
	}
	fmt.Fprintf(w, "{\"from\":\"go\",\"path\":%q}\n", r.URL.Path)
}

func main() {
	flag.Parse()
	network, addr := "tcp", *listen
	if strings.HasPrefix(addr, "unix:") {
		network, addr = "unix", addr[5:]
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		log.Fatal(err)
	}
	if *noise > 0 {
		go func() {
			for range time.Tick(*noise) {
				go call(nil, "noise", "0", "0", nil)
			}
		}()
	}
	if *storm > 0 {
		go func() {
			done := make(chan bool, 1)
			for range time.Tick(10 * time.Millisecond) {
				for n := 0; n < *storm/100; n++ {
					go func() {
						select {
						case done <- true:
						default:
						}
					}()
				}
			}
		}()
	}
	log.Fatal(http.Serve(l, http.HandlerFunc(handle)))
}
