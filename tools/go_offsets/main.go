// SPDX-License-Identifier: Apache-2.0

// go_offsets writes src/probe/go_offsets.h: where the fields that clew follows lie in the
// structs of each Go release. It builds sample/ with every release named on its command line
// (the go command fetches the toolchains) and reads the answer from the debug information.
//
//	cd tools/go_offsets && go run . go1.18.10 go1.19.13 ... > ../../src/probe/go_offsets.h
package main

import (
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

type field struct{ column, typ, path string }

var fields = []field{
	{"goid", "runtime.g", "goid"},
	{"req_ctx", "net/http.Request", "ctx"},
	{"pc_conn", "net/http.persistConn", "conn"},
	{"pc_tls", "net/http.persistConn", "tlsState"},
	{"tr_request", "net/http.transportRequest", "Request"},
	{"conn_fd", "net.TCPConn", "conn.fd"},
	{"sysfd", "net.netFD", "pfd.Sysfd"},
	{"tls_conn", "crypto/tls.Conn", "conn"},
	{"g_m", "runtime.g", "m"},
	{"m_curg", "runtime.m", "curg"},
	{"g_sp", "runtime.g", "sched.sp"},
	{"g_ctxt", "runtime.g", "sched.ctxt"},
	{"g_status", "runtime.g", "atomicstatus"},
	{"g_reason", "runtime.g", "waitreason"},
	{"g_waiting", "runtime.g", "waiting"},
	{"sudog_c", "runtime.sudog", "c"},
	{"sudog_link", "runtime.sudog", "waitlink"},
	{"hchan_recvq", "runtime.hchan", "recvq"},
	{"m_p", "runtime.m", "p"},
	{"p_mcache", "runtime.p", "mcache"},
	{"mc_alloc", "runtime.mcache", "alloc"},
	{"span_start", "runtime.mspan", "startAddr"},
	{"span_pages", "runtime.mspan", "npages"},
	{"span_size", "runtime.mspan", "elemsize"},
}

// Types whose first field must be the interface that holds the parent context.
var contexts = []string{"context.cancelCtx", "context.timerCtx", "context.valueCtx"}

func structs(d *dwarf.Data, want map[string]bool) (map[string]*dwarf.StructType, error) {
	found := map[string]*dwarf.StructType{}
	for r := d.Reader(); ; {
		e, err := r.Next()
		if err != nil {
			return nil, err
		}
		if e == nil {
			return found, nil
		}
		name, _ := e.Val(dwarf.AttrName).(string)
		if e.Tag != dwarf.TagStructType || !want[name] {
			continue
		}
		t, err := d.Type(e.Offset)
		if err != nil {
			return nil, err
		}
		if st, ok := t.(*dwarf.StructType); ok {
			found[name] = st
		}
	}
}

func offset(t *dwarf.StructType, path string) (int64, error) {
	var off int64
	for _, name := range strings.Split(path, ".") {
		if t == nil {
			return 0, fmt.Errorf("%s: not in a struct", name)
		}
		var hit *dwarf.StructField
		for _, f := range t.Field {
			if f.Name == name {
				hit = f
			}
		}
		if hit == nil {
			return 0, fmt.Errorf("%s has no field %s", t.StructName, name)
		}
		off += hit.ByteOffset
		ft := hit.Type
		for {
			td, ok := ft.(*dwarf.TypedefType)
			if !ok {
				break
			}
			ft = td.Type
		}
		t, _ = ft.(*dwarf.StructType)
	}
	return off, nil
}

func row(exe, root, version string) (string, error) {
	f, err := elf.Open(exe)
	if err != nil {
		return "", err
	}
	defer f.Close()
	d, err := f.DWARF()
	if err != nil {
		return "", err
	}
	want := map[string]bool{}
	for _, x := range fields {
		want[x.typ] = true
	}
	for _, c := range contexts {
		want[c] = true
	}
	types, err := structs(d, want)
	if err != nil {
		return "", err
	}
	// cancelCtx and valueCtx embed the Context; timerCtx embeds cancelCtx (before 1.21: a
	// value, as since), so its first word is the same one.
	for _, c := range contexts {
		t := types[c]
		if t == nil || len(t.Field) == 0 || t.Field[0].ByteOffset != 0 ||
			(t.Field[0].Name != "Context" && t.Field[0].Name != "cancelCtx") {
			return "", fmt.Errorf("%s: the parent is not the first field", c)
		}
	}
	m := regexp.MustCompile(`^go1\.(\d+)`).FindStringSubmatch(version)
	if m == nil {
		return "", fmt.Errorf("%s: not a release name", version)
	}
	out := fmt.Sprintf("\t{%s, ", m[1])
	for _, x := range fields {
		off, err := offset(types[x.typ], x.path)
		if err != nil {
			return "", fmt.Errorf("%s.%s: %v", x.typ, x.path, err)
		}
		out += fmt.Sprintf("%d, ", off)
	}
	wait, err := waitGroupReason(root)
	if err != nil {
		return "", err
	}
	return out + fmt.Sprintf("%d},", wait), nil
}

// What g.waitreason is in sync.WaitGroup.Wait; 0: other waits for a semaphore have the same.
func waitGroupReason(root string) (int, error) {
	src, err := os.ReadFile(filepath.Join(root, "src/runtime/runtime2.go"))
	if err != nil {
		return 0, err
	}
	at := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^\t(waitReason\w+)`).FindAllStringSubmatch(string(src), -1) {
		if _, again := at[m[1]]; !again { // the table of texts follows the constants
			at[m[1]] = len(at)
		}
	}
	if at["waitReasonZero"] != 0 || at["waitReasonSemacquire"] == 0 {
		return 0, fmt.Errorf("the list of wait reasons is not understood")
	}
	if n := at["waitReasonSyncWaitGroupWait"]; n != 0 {
		return n, nil
	}
	if at["waitReasonSyncRWMutexLock"] != 0 { // since then locks have reasons of their own
		return at["waitReasonSemacquire"], nil
	}
	return 0, nil
}

func build(version, dir string) (exe, root string, err error) {
	// Releases before 1.20 refuse to run from inside the module cache: go by a link to it.
	env := exec.Command("go", "env", "GOROOT")
	env.Env = append(os.Environ(), "GOTOOLCHAIN="+version)
	env.Stderr = os.Stderr
	out, err := env.Output()
	if err != nil {
		return "", "", err
	}
	root = filepath.Join(dir, "root-"+version)
	if err := os.Symlink(strings.TrimSpace(string(out)), root); err != nil {
		return "", "", err
	}
	exe = filepath.Join(dir, version)
	cmd := exec.Command(filepath.Join(root, "bin", "go"), "build", "-o", exe, ".")
	cmd.Dir = "sample"
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local", "GOROOT="+root, "CGO_ENABLED=0",
		"GOWORK=off", "GOARCH=amd64", "GOFLAGS=-buildvcs=false")
	cmd.Stderr = os.Stderr
	return exe, root, cmd.Run()
}

func main() {
	dir, err := os.MkdirTemp("", "go_offsets")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer os.RemoveAll(dir)
	fmt.Println("/* SPDX-License-Identifier: Apache-2.0 */")
	fmt.Println("/* Written by tools/go_offsets from the debug information of each release. */")
	fmt.Print("/* minor")
	for _, x := range fields {
		fmt.Print(", ", x.column)
	}
	fmt.Println(", wg_reason */")
	// One row per minor release: its patch releases must agree, or the table cannot be used.
	rows, tested, order := map[string]string{}, map[string]string{}, []string{}
	for _, v := range os.Args[1:] {
		exe, root, err := build(v, dir)
		r := ""
		if err == nil {
			r, err = row(exe, root, v)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", v, err)
			os.Exit(1)
		}
		os.Remove(exe)
		minor := strings.SplitN(r, ",", 2)[0]
		if old, ok := rows[minor]; ok && old != r {
			fmt.Fprintf(os.Stderr, "%s: %s, but %s: %s\n", v, r, tested[minor], old)
			os.Exit(1)
		} else if !ok {
			order = append(order, minor)
			tested[minor] = v
		} else {
			tested[minor] += ", " + v
		}
		rows[minor] = r
	}
	for _, minor := range order {
		fmt.Printf("%s /* %s */\n", rows[minor], tested[minor])
	}
}
