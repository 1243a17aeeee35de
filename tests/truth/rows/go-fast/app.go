// SPDX-License-Identifier: Apache-2.0

// A Go service on fasthttp, both ways. Obeys tests/truth/README.md.
package main

import (
	"errors"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

var (
	next   = os.Getenv("NEXT")
	client = &fasthttp.Client{MaxConnsPerHost: 128, MaxIdemponentCallAttempts: 1}
	queue  = make(chan func())
)

func nap() { time.Sleep(time.Duration(rand.Intn(5000)) * time.Microsecond) }

func send(method, url string, body []byte) error {
	nap()
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(url)
	req.Header.SetMethod(method)
	req.SetBody(body)
	if err := client.Do(req, resp); err != nil {
		return err
	}
	if resp.StatusCode() >= 400 {
		return errors.New("status")
	}
	return nil
}

func serve(c *fasthttp.RequestCtx) {
	part := strings.Split(strings.Trim(string(c.Path()), "/"), "/")
	if len(part) < 3 {
		return
	}
	shape, id, k := part[1], part[2], ""
	if len(part) > 3 {
		k = part[3] + "-"
	}
	url := func(n int) string {
		ask := map[string]string{"post": "post", "err": "err"}[shape]
		if ask == "" {
			ask = "one"
		}
		return next + "/" + ask + "/" + id + "/" + k + strconv.Itoa(n)
	}
	calls, method := 1, "GET"
	switch shape {
	case "seq":
		calls = 3
	case "post":
		method = "POST"
	}
	var err error
	for n := 0; n < calls && err == nil; n++ {
		if shape != "pool" {
			err = send(method, url(n), c.PostBody())
			continue
		}
		done := make(chan error)
		queue <- func() { done <- send(method, url(0), nil) }
		err = <-done
	}
	nap()
	if err != nil {
		c.Error(err.Error(), 500)
		return
	}
	c.SetBodyString("done")
}

func main() {
	if ms, _ := strconv.Atoi(os.Getenv("NOISE")); ms > 0 {
		go func() {
			for range time.Tick(time.Duration(ms) * time.Millisecond) {
				_ = send("GET", next+"/noise/0/0", nil)
			}
		}()
	}
	for i := 0; i < 4; i++ {
		go func() {
			for f := range queue {
				f()
			}
		}()
	}
	panic(fasthttp.ListenAndServe(os.Getenv("LISTEN"), serve))
}
