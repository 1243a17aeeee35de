// SPDX-License-Identifier: Apache-2.0

// A program that uses both ends of net/http over TLS, so that every struct whose layout is
// wanted is in its debug information.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), "k", 1), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", os.Args[1], nil)
		if err != nil {
			return
		}
		c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{}}}
		resp, err := c.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		fmt.Fprintln(w, "ok", err)
	})
	fmt.Println(http.ListenAndServe("127.0.0.1:0", nil))
}
