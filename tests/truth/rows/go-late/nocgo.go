// SPDX-License-Identifier: Apache-2.0

//go:build !cgo

package main

func (r *request) cgo() error { return r.seq() }
