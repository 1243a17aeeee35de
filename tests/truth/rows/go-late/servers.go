// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"

	hertz "github.com/cloudwego/hertz/pkg/app"
	hertzserver "github.com/cloudwego/hertz/pkg/app/server"
	"github.com/cloudwego/hertz/pkg/common/hlog"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/gofiber/fiber/v2"
	"github.com/gorilla/mux"
	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"
	"golang.org/x/sync/errgroup"
)

var servers = map[string]func(addr string) error{
	"std": onStd, "gin": onGin, "echo": onEcho, "chi": onChi, "mux": onMux, "fiber": onFiber,
	"hertz": onHertz, "deadline": onDeadline,
}

func handle(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	w.WriteHeader(serve(req.Context(), req.URL.Path, body))
	_, _ = io.WriteString(w, "done\n")
}

func handler() http.Handler { return http.HandlerFunc(handle) }

// onStd listens on a Unix socket too, where SOCKET names one.
func onStd(addr string) error {
	s := &http.Server{Addr: addr, Handler: handler(), ReadHeaderTimeout: time.Minute}
	if path := os.Getenv("SOCKET"); path != "" {
		l, err := net.Listen("unix", path)
		if err != nil {
			return err
		}
		go func() { panic(s.Serve(l)) }()
	}
	return s.ListenAndServe()
}

// onDeadline: net/http runs the handler in a goroutine of its own, and gives up after a while.
func onDeadline(addr string) error {
	return http.ListenAndServe(addr, http.TimeoutHandler(handler(), 10*time.Second, "slow"))
}

func onGin(addr string) error {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.Use(gin.Recovery(), func(c *gin.Context) { c.Set("at", time.Now()); c.Next() })
	e.ContextWithFallback = true
	e.NoRoute(func(c *gin.Context) {
		body, _ := c.GetRawData()
		// gin's context is the one that is handed on, as many do
		c.String(serve(c, c.Request.URL.Path, body), "done\n")
	})
	return e.Run(addr)
}

func onEcho(addr string) error {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Use(echomiddleware.Recover(), echomiddleware.RequestID(), echomiddleware.Gzip(),
		echomiddleware.ContextTimeout(20*time.Second))
	e.Any("/*", func(c echo.Context) error {
		req := c.Request()
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return err
		}
		return c.JSON(serve(req.Context(), req.URL.Path, body), map[string]string{"is": "done"})
	})
	return e.Start(addr)
}

// together makes a request's first two calls before its handler, at the same time.
func together(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r := parse(req.Context(), req.URL.Path, nil)
		if r == nil || r.shape != "mw" {
			next.ServeHTTP(w, req)
			return
		}
		var g errgroup.Group
		g.Go(func() error { return r.bare(0) })
		g.Go(func() error { return r.bare(1) })
		if err := g.Wait(); err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		next.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), key(0), r)))
	})
}

func (r *request) last() error { return r.call(2) }

func onChi(addr string) error {
	m := chi.NewRouter()
	m.Use(chimiddleware.RequestID, chimiddleware.RealIP, chimiddleware.Recoverer,
		chimiddleware.Timeout(20*time.Second), chimiddleware.Throttle(128), together)
	m.HandleFunc("/*", handle)
	return http.ListenAndServe(addr, m)
}

// onMux passes some on as it is: a reverse proxy for one part of the paths.
func onMux(addr string) error {
	to, err := url.Parse(next)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			v := mux.Vars(p.In)
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = to.Scheme, to.Host, to.Host
			p.Out.URL.Path = to.Path + "/one/" + v["id"] + "/0"
		},
		Transport:      transport(),
		ModifyResponse: func(*http.Response) error { nap(); return nil },
	}
	m := mux.NewRouter()
	m.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			nap()
			next.ServeHTTP(w, req)
		})
	})
	m.Handle("/{service}/rproxy/{id:[0-9]+}", proxy)
	m.PathPrefix("/").HandlerFunc(handle)
	return http.ListenAndServe(addr, m)
}

func onFiber(addr string) error {
	f := fiber.New(fiber.Config{DisableStartupMessage: true})
	f.Use(func(c *fiber.Ctx) error { c.Locals("at", time.Now()); return c.Next() })
	f.All("/*", func(c *fiber.Ctx) error {
		// fiber's strings and bodies belong to the next request once this one has been answered
		path, body := string([]byte(c.Path())), append([]byte(nil), c.Body()...)
		return c.Status(serve(c.UserContext(), path, body)).SendString("done\n")
	})
	return f.Listen(addr)
}

func onHertz(addr string) error {
	hlog.SetLevel(hlog.LevelError)
	h := hertzserver.New(hertzserver.WithHostPorts(addr), hertzserver.WithDisablePrintRoute(true))
	h.Any("/*path", func(ctx context.Context, c *hertz.RequestContext) {
		c.String(serve(ctx, string(c.Path()), append([]byte(nil), c.Request.Body()...)), "done\n")
	})
	h.Spin()
	return nil
}
