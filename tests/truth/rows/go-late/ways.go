// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/afex/hystrix-go/hystrix"
	"github.com/alitto/pond/v2"
	"github.com/cenkalti/backoff/v4"
	"github.com/graph-gophers/dataloader/v7"
	"github.com/panjf2000/ants/v2"
	lop "github.com/samber/lo/parallel"
	"github.com/sony/gobreaker"
	"golang.org/x/time/rate"
)

type key int

// ---- the handler's own goroutine ----

var (
	breaker = gobreaker.NewCircuitBreaker(gobreaker.Settings{Name: "late"})
	limiter = rate.NewLimiter(2000, 64)
)

func (r *request) breaker() error {
	if err := limiter.Wait(r.ctx); err != nil {
		return err
	}
	_, err := breaker.Execute(func() (any, error) { return nil, r.bare(0) })
	return err
}

func (r *request) retry() error {
	n := 0
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(2 * time.Millisecond))
	return backoff.Retry(func() error {
		err := r.call(n)
		n++
		return err
	}, backoff.WithContext(backoff.WithMaxRetries(wait, 2), r.ctx))
}

func (r *request) once() error { return sync.OnceValue(func() error { return r.bare(0) })() }

// pages makes a call for each element that is asked for.
func (r *request) pages() iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for n := range 3 {
			if !yield(n, r.bare(n)) {
				return
			}
		}
	}
}

func (r *request) iterate() error {
	for _, err := range r.pages() {
		if err != nil {
			return err
		}
	}
	return nil
}

// pull: the sequence runs in a coroutine of its own.
func (r *request) pull() error {
	get, stop := iter.Pull2(r.pages())
	defer stop()
	for {
		_, err, ok := get()
		if !ok || err != nil {
			return err
		}
	}
}

// deep: a context of the program's own at the end of a long chain.
type traced struct {
	context.Context
	name string
}

func (r *request) deep() error {
	ctx := r.ctx
	for i := range 12 {
		ctx = context.WithValue(ctx, key(i), i)
	}
	ctx, cancel := context.WithTimeout(traced{ctx, r.shape}, 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	queue.put(func() { nap(); done <- send(ctx, "GET", r.url(0), nil) })
	return <-done
}

// ---- goroutines that it starts and waits for ----

func (r *request) cond() error {
	var mu sync.Mutex
	var err error
	ready, done := sync.NewCond(&mu), false
	go func() {
		e := r.bare(0)
		mu.Lock()
		err, done = e, true
		mu.Unlock()
		ready.Broadcast()
	}()
	mu.Lock()
	defer mu.Unlock()
	for !done {
		ready.Wait()
	}
	return err
}

func (r *request) pipeline() error {
	numbers, results := make(chan int), make(chan error)
	go func() {
		defer close(numbers)
		for n := range 3 {
			numbers <- n
		}
	}()
	go func() {
		defer close(results)
		for n := range numbers {
			results <- r.bare(n)
		}
	}()
	var failed error
	for err := range results {
		failed = errors.Join(failed, err)
	}
	return failed
}

func (r *request) gather() error {
	type result struct {
		n   int
		err error
	}
	results, deadline := make(chan result, 4), time.After(10*time.Second)
	for n := range 4 {
		go func() { results <- result{n, r.bare(n)} }()
	}
	for range 4 {
		select {
		case got := <-results:
			if got.err != nil {
				return got.err
			}
		case <-deadline:
			return errors.New("too slow")
		}
	}
	return nil
}

func (r *request) wggo() error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for n := range 4 {
		wg.Go(func() {
			err := r.bare(n)
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		})
	}
	wg.Wait()
	return failed
}

// semin: two at a time, and who starts them does not wait for a place.
func (r *request) semin() error {
	var wg sync.WaitGroup
	places, errs := make(chan struct{}, 2), make([]error, 4)
	for n := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			places <- struct{}{}
			defer func() { <-places }()
			errs[n] = r.bare(n)
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (r *request) lomap() error {
	return errors.Join(lop.Map([]int{0, 1, 2, 3}, func(n, _ int) error { return r.bare(n) })...)
}

func (r *request) hystrix() error {
	return hystrix.Do("late", func() error { return r.bare(0) }, nil)
}

// giveup waits no longer than it wants to, then cancels what it waits for.
func (r *request) giveup() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- send(ctx, "GET", r.url(0), nil) }()
	select {
	case err := <-done:
		return err
	case <-time.After(100 * time.Millisecond):
		return errors.New("too slow")
	}
}

func (r *request) timer() error {
	done := make(chan error)
	time.AfterFunc(2*time.Millisecond, func() { done <- r.bare(0) })
	return <-done
}

func (r *request) timerctx() error {
	done := make(chan error)
	time.AfterFunc(2*time.Millisecond, func() { done <- r.call(0) })
	return <-done
}

// ---- behind the answer ----

func (r *request) after() error {
	ctx := context.WithoutCancel(r.ctx)
	time.AfterFunc(15*time.Millisecond, func() { _ = send(ctx, "GET", r.url(0), nil) })
	return nil
}

func (r *request) bg() error {
	time.AfterFunc(15*time.Millisecond, func() { _ = r.bare(0) })
	return nil
}

// ---- workers that others' requests use as well ----

// jobs is a queue that is bounded by nothing; its workers wait for a condition.
type jobs struct {
	sync.Mutex
	some *sync.Cond
	todo []func()
}

func (q *jobs) put(f func()) {
	q.Lock()
	q.todo = append(q.todo, f)
	q.Unlock()
	q.some.Signal()
}

func (q *jobs) work() {
	for {
		q.Lock()
		for len(q.todo) == 0 {
			q.some.Wait()
		}
		f := q.todo[0]
		q.todo = q.todo[1:]
		q.Unlock()
		f()
	}
}

var (
	queue   = &jobs{}
	antPool *ants.Pool
	ponds   pond.ResultPool[error]
	loaders *dataloader.Loader[*request, int]
)

func startWorkers() {
	hystrix.ConfigureCommand("late", hystrix.CommandConfig{Timeout: 20000, MaxConcurrentRequests: 256})
	queue.some = sync.NewCond(queue)
	for range 4 {
		go queue.work()
	}
	antPool, _ = ants.NewPool(6)
	ponds = pond.NewResultPool[error](6)
	loaders = dataloader.NewBatchedLoader(loadAll, dataloader.WithWait[*request, int](3*time.Millisecond),
		dataloader.WithCache[*request, int](&dataloader.NoCache[*request, int]{}))
}

func (r *request) broker() error {
	done := make(chan error)
	queue.put(func() { done <- r.bare(0) })
	return <-done
}

// ants starts its workers when they are wanted first: in a request.
func (r *request) onAnts(do func(int) error) error {
	var wg sync.WaitGroup
	var err error
	wg.Add(1)
	if e := antPool.Submit(func() { defer wg.Done(); err = do(0) }); e != nil {
		return e
	}
	wg.Wait()
	return err
}

func (r *request) ants() error    { return r.onAnts(r.bare) }
func (r *request) antsctx() error { return r.onAnts(r.call) }

func (r *request) pond() error {
	err, failed := ponds.Submit(func() error { return r.bare(0) }).Wait()
	return errors.Join(err, failed)
}

// loadAll makes the calls of all the requests that came within a few milliseconds.
func loadAll(_ context.Context, all []*request) []*dataloader.Result[int] {
	results := make([]*dataloader.Result[int], len(all))
	for i, r := range all {
		results[i] = &dataloader.Result[int]{Error: r.bare(0)}
	}
	return results
}

func (r *request) loader() error {
	_, err := loaders.Load(context.Background(), r)()
	return err
}

// debounce: a timer, that the first of them starts, for all who come until it runs.
var waiting struct {
	sync.Mutex
	all []func()
}

func (r *request) debounce() error {
	done := make(chan error, 1)
	waiting.Lock()
	waiting.all = append(waiting.all, func() { done <- r.bare(0) })
	if len(waiting.all) == 1 {
		time.AfterFunc(4*time.Millisecond, func() {
			waiting.Lock()
			all := waiting.all
			waiting.all = nil
			waiting.Unlock()
			for _, f := range all {
				f()
			}
		})
	}
	waiting.Unlock()
	return <-done
}
