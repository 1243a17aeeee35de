// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"time"

	hertz "github.com/cloudwego/hertz/pkg/app/client"
	hertzproto "github.com/cloudwego/hertz/pkg/protocol"
	"github.com/go-resty/resty/v2"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/valyala/fasthttp"
)

type client func(ctx context.Context, method, url string, body []byte) error

var (
	send    client
	clients = map[string]func() client{"std": std, "resty": withResty, "fasthttp": withFasthttp,
		"hertz": withHertz}
)

// ---- net/http, as a company's own library wraps it ----

// tripper adds headers and counts, as most programs have one.
type tripper struct {
	base  http.RoundTripper
	calls atomic.Int64
}

func (t *tripper) RoundTrip(req *http.Request) (*http.Response, error) {
	t.calls.Add(1)
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", "late/1")
	return t.base.RoundTrip(req)
}

type middleware func(*http.Request) (*http.Response, error)

func (f middleware) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func transport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 128
	t.DisableCompression = true
	if path := os.Getenv("NEXT_SOCKET"); path != "" {
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}
	}
	inner := &tripper{base: t}
	return middleware(func(req *http.Request) (*http.Response, error) {
		res, err := inner.RoundTrip(req)
		if err == nil && res.StatusCode >= 500 {
			res.Header.Set("X-Failed", "yes")
		}
		return res, err
	})
}

func httpClient() *http.Client {
	jar, _ := cookiejar.New(nil)
	return &http.Client{
		Transport: transport(), Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func std() client {
	c := httpClient()
	return func(ctx context.Context, method, url string, body []byte) error {
		req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if _, err := io.ReadAll(res.Body); err != nil {
			return err
		}
		if res.StatusCode >= 400 {
			return errStatus
		}
		return nil
	}
}

func withResty() client {
	c := resty.New().SetTransport(transport()).SetTimeout(30*time.Second).
		SetHeader("Accept", "*/*").
		OnBeforeRequest(func(_ *resty.Client, r *resty.Request) error {
			r.SetHeader("X-Late", "yes")
			return nil
		})
	return func(ctx context.Context, method, url string, body []byte) error {
		r := c.R().SetContext(ctx)
		if body != nil {
			r.SetBody(body)
		}
		res, err := r.Execute(method, url)
		if err != nil {
			return err
		}
		if res.IsError() {
			return errStatus
		}
		return nil
	}
}

func withFasthttp() client {
	c := &fasthttp.Client{MaxConnsPerHost: 256, MaxIdemponentCallAttempts: 1}
	return func(_ context.Context, method, url string, body []byte) error {
		req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		defer fasthttp.ReleaseRequest(req)
		defer fasthttp.ReleaseResponse(res)
		req.SetRequestURI(url)
		req.Header.SetMethod(method)
		req.SetBody(body)
		if err := c.DoTimeout(req, res, 30*time.Second); err != nil {
			return err
		}
		if res.StatusCode() >= 400 {
			return errStatus
		}
		return nil
	}
}

func withHertz() client {
	c, err := hertz.NewClient(hertz.WithMaxConnsPerHost(256))
	if err != nil {
		panic(err)
	}
	return func(ctx context.Context, method, url string, body []byte) error {
		req, res := hertzproto.AcquireRequest(), hertzproto.AcquireResponse()
		defer hertzproto.ReleaseRequest(req)
		defer hertzproto.ReleaseResponse(res)
		req.SetRequestURI(url)
		req.SetMethod(method)
		req.SetBody(body)
		if err := c.Do(ctx, req, res); err != nil {
			return err
		}
		if res.StatusCode() >= 400 {
			return errStatus
		}
		return nil
	}
}

// ---- go-retryablehttp: each try has a path of its own ----

var retrying = sync.OnceValue(func() *retryablehttp.Client {
	c := retryablehttp.NewClient()
	c.HTTPClient = &http.Client{Transport: transport()}
	c.RetryMax, c.RetryWaitMin, c.RetryWaitMax = 2, time.Millisecond, 4*time.Millisecond
	c.Logger = nil
	c.RequestLogHook = func(_ retryablehttp.Logger, req *http.Request, try int) {
		path := req.URL.Path
		req.URL.Path = path[:len(path)-1] + string(rune('0'+try))
	}
	return c
})

func (r *request) retryable() error {
	nap()
	req, err := retryablehttp.NewRequestWithContext(r.ctx, "GET", r.url(0), nil)
	if err != nil {
		return err
	}
	res, err := retrying().Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// load is the profile's: the program's own handler and client against a server of its own.
func load() {
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("done"))
	}))
	defer behind.Close()
	next, send = behind.URL, std()
	front := httptest.NewServer(handler())
	defer front.Close()
	var wg sync.WaitGroup
	stop := time.Now().Add(3 * time.Second)
	for range 32 {
		wg.Go(func() {
			ask := std()
			for time.Now().Before(stop) {
				_ = ask(context.Background(), "GET", front.URL+"/a/wggo/1", nil)
				_ = ask(context.Background(), "POST", front.URL+"/a/seq/1", []byte("x"))
			}
		})
	}
	wg.Wait()
}
