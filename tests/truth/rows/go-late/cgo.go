// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package main

/*
#include <unistd.h>
static int slowly(int ms) { usleep(ms * 1000); return ms; }
*/
import "C"

// cgo: C code that blocks its thread, so that others of the runtime's take over in between.
func (r *request) cgo() error {
	for n := range 3 {
		C.slowly(C.int(n + 1))
		if err := r.bare(n); err != nil {
			return err
		}
	}
	return nil
}
