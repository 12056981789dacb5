package meter

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// A dollar buys a million tokens of this model, read or written.
var plain = NewPrices([]Price{{Model: "plain", Input: 1, Output: 1, CacheRead: 1, CacheWrite: 1, CacheWriteLong: 1}})

func plainRequest(output int64) Request { return Request{Model: "plain", MaxOutput: output} }

func plainResult(output int64) Result {
	return Result{Model: "plain", Usage: Usage{Output: output}, Found: true, Complete: true}
}

func reserve(t *testing.T, l *Ledger, r Request) *Reservation {
	t.Helper()
	reservation, err := l.Reserve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return reservation
}

// Ten clients at once ask for random requests until they are refused, a hundred times over: the total passes the limit by
// no more than what the one that was let in last costs.
func TestTheBudgetIsPassedByNoMoreThanOneRequest(t *testing.T) {
	for run := range uint64(100) {
		random := rand.New(rand.NewPCG(run, 6))
		limits := Limits{USD: 0.01 + random.Float64(), WarnAt: 0.5}
		if run%2 == 1 {
			limits = Limits{Tokens: 1 + random.Int64N(1_000_000), WarnAt: 0.5}
		}
		ledger := NewLedger(limits, NewPrices(nil))
		var clients sync.WaitGroup
		var mu sync.Mutex
		var dearest, sum NanoUSD
		var longest, warned, reached int64
		for client := range uint64(10) {
			clients.Go(func() {
				random := rand.New(rand.NewPCG(run, 100+client))
				for {
					r := Request{Model: []string{"claude-opus-4-8", "gpt-5-nano", "?"}[random.IntN(3)], MaxOutput: 1 + random.Int64N(20_000), Size: random.Int64N(10_000)}
					reservation, err := ledger.Reserve(t.Context(), r)
					if err != nil {
						if !errors.As(err, new(*Exceeded)) {
							t.Error(err)
						}
						return
					}
					for range random.IntN(20) {
						runtime.Gosched() // so that others ask meanwhile
					}
					charge := reservation.Settle(Result{Model: r.Model, Found: true, Complete: true,
						Usage: Usage{Input: random.Int64N(r.Size/3 + 1), Output: random.Int64N(r.MaxOutput + 1)}})
					mu.Lock()
					dearest, longest, sum = max(dearest, charge.Cost), max(longest, charge.Usage.Tokens()), sum+charge.Cost
					if charge.Warn {
						warned++
					}
					if charge.Reached {
						reached++
					}
					mu.Unlock()
				}
			})
		}
		clients.Wait()
		spent, tokens := ledger.Spent()
		if spent != sum || warned != 1 || reached != 1 {
			t.Errorf("run %d: %v is not the sum %v, or warned %d, reached %d times", run, spent, sum, warned, reached)
		}
		if limit := FromUSD(limits.USD); limit > 0 && (spent < limit || spent >= limit+dearest) {
			t.Errorf("run %d: spent %v of %v, the dearest request was %v", run, spent, limit, dearest)
		}
		if limit := limits.Tokens; limit > 0 && (tokens < limit || tokens >= limit+longest) {
			t.Errorf("run %d: used %d tokens of %d, the longest request was %d", run, tokens, limit, longest)
		}
	}
}

func TestARequestWaitsForThoseInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLedger(Limits{Tokens: 100}, plain)
		first := reserve(t, l, plainRequest(100))
		got := make(chan *Reservation)
		go func() { got <- reserve(t, l, plainRequest(50)) }()
		synctest.Wait()
		select {
		case <-got:
			t.Fatal("the second was let in beside the first")
		default:
		}
		first.Settle(plainResult(99))
		second := <-got

		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() {
			_, err := l.Reserve(ctx, plainRequest(1))
			failed <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("a third that gave up got %v", err)
		}
		go func() {
			_, err := l.Reserve(t.Context(), plainRequest(1))
			failed <- err
		}()
		synctest.Wait()
		if charge := second.Settle(plainResult(50)); !charge.Reached {
			t.Errorf("the limit is not reached: %+v", charge)
		}
		var exceeded *Exceeded
		if err := <-failed; !errors.As(err, &exceeded) {
			t.Fatalf("a fourth that waited got %v", err)
		}
		if diff := cmp.Diff(&Exceeded{What: "tokens", Limit: "100", Spent: "149"}, exceeded); diff != "" {
			t.Error(diff)
		}
	})
}

func TestACancelledReservationLetsOthersIn(t *testing.T) {
	l := NewLedger(Limits{USD: 0.001}, plain)
	first := reserve(t, l, plainRequest(1000))
	first.Cancel()
	first.Cancel()
	second := reserve(t, l, plainRequest(1000))
	if charge := first.Settle(plainResult(5)); charge != (Charge{}) {
		t.Errorf("what was cancelled cost %+v", charge)
	}
	second.Settle(plainResult(1000))
	_, err := l.Reserve(t.Context(), plainRequest(1))
	if err == nil || err.Error() != "the budget of $0.001 is spent: $0.001" {
		t.Errorf("%v", err)
	}
}

func TestWarnAndReachedAreSaidOnce(t *testing.T) {
	l := NewLedger(Limits{USD: 0.0001, WarnAt: 0.8}, plain)
	type said struct{ Warn, Reached bool }
	var got []said
	var held []*Reservation
	for range 5 {
		held = append(held, reserve(t, l, plainRequest(10)))
	}
	for _, r := range held {
		charge := r.Settle(plainResult(30)) // more than it was told
		got = append(got, said{charge.Warn, charge.Reached})
		if again := r.Settle(plainResult(30)); again.Warn || again.Reached || again.Spent != charge.Spent {
			t.Errorf("settled again: %+v", again)
		}
	}
	want := []said{{}, {}, {Warn: true}, {Reached: true}, {}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLimits(t *testing.T) {
	nan := 0.0
	nan /= nan
	for what, test := range map[string]struct {
		limits Limits
		first  bool
		second bool // after a request that uses ten tokens
	}{
		"none":                        {Limits{}, true, true},
		"enough":                      {Limits{USD: 1, Tokens: 1000}, true, true},
		"in dollars":                  {Limits{USD: 0.00001}, true, false},
		"in tokens":                   {Limits{Tokens: 10}, true, false},
		"the nearer of two":           {Limits{USD: 1, Tokens: 10}, true, false},
		"less than is counted":        {Limits{USD: 1e-12}, true, false},
		"less than nothing":           {Limits{USD: -1}, false, false},
		"less than nothing in tokens": {Limits{Tokens: -1}, false, false},
		"not a number":                {Limits{USD: nan}, false, false},
	} {
		t.Run(what, func(t *testing.T) {
			l := NewLedger(test.limits, plain)
			first, err := l.Reserve(t.Context(), plainRequest(1000))
			if (err == nil) != test.first {
				t.Fatalf("the first got %v", err)
			}
			if err == nil {
				first.Settle(plainResult(10))
			}
			if _, err := l.Reserve(t.Context(), plainRequest(1000)); (err == nil) != test.second {
				t.Errorf("the second got %v", err)
			}
		})
	}
}

func TestSettle(t *testing.T) {
	request := Request{Model: "plain", MaxOutput: 50, Size: 400}
	cached := request
	cached.CacheWrites = true
	open := Request{Model: "plain", Size: 400}
	cut := Result{Usage: Usage{Output: 80}, Estimated: true}
	for what, test := range map[string]struct {
		request Request
		result  Result
		want    Charge
	}{
		"what the response says":  {request, plainResult(7), Charge{Model: "plain", Known: true, Usage: Usage{Output: 7}, Cost: 7000}},
		"an error costs nothing":  {request, Result{}, Charge{Model: "plain", Known: true}},
		"another model answers":   {request, Result{Model: "?", Found: true, Usage: Usage{Output: 1}}, Charge{Model: "?", Usage: Usage{Output: 1}, Cost: 180_000}},
		"cut off":                 {request, cut, Charge{Model: "plain", Known: true, Usage: Usage{Input: 100, Output: 50}, Cost: 150_000, Estimated: true}},
		"cut off, with a cache":   {cached, cut, Charge{Model: "plain", Known: true, Usage: Usage{CacheWrite: 100, Output: 50}, Cost: 150_000, Estimated: true}},
		"cut off, without an end": {open, cut, Charge{Model: "plain", Known: true, Usage: Usage{Input: 100, Output: 80}, Cost: 180_000, Estimated: true}},
		"cut off, its input known": {request, Result{Model: "plain", Found: true, Estimated: true, Usage: Usage{CacheRead: 3, Output: 4}},
			Charge{Model: "plain", Known: true, Usage: Usage{CacheRead: 3, Output: 4}, Cost: 7000, Estimated: true}},
	} {
		t.Run(what, func(t *testing.T) {
			test.want.Spent, test.want.Tokens = test.want.Cost, test.want.Usage.Tokens()
			got := reserve(t, NewLedger(Limits{}, plain), test.request).Settle(test.result)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReservationsAreTheDearestThatCanCome(t *testing.T) {
	l := NewLedger(Limits{}, NewPrices(nil))
	for what, test := range map[string]struct {
		request Request
		want    string
	}{
		"output and input":      {Request{Model: "claude-opus-4-8", MaxOutput: 1000, Size: 3000}, "$0.03"},
		"to a cache":            {Request{Model: "claude-opus-4-8", MaxOutput: 1000, Size: 3000, CacheWrites: true}, "$0.0312"},
		"to a cache for long":   {Request{Model: "claude-opus-4-8", MaxOutput: 1000, Size: 3000, CacheWrites: true, LongCacheWrites: true}, "$0.035"},
		"fast":                  {Request{Model: "claude-opus-4-8", MaxOutput: 1000, Fast: true}, "$0.15"},
		"without an end":        {Request{Model: "claude-opus-4-8"}, "$3.20"},
		"more than is in it":    {Request{Model: "claude-opus-4-8", MaxOutput: 1, Elsewhere: true}, "$5.25"},
		"a long prompt":         {Request{Model: "gpt-6.1-sol", MaxOutput: 1, Size: 3_000_000}, "$4.00"},
		"of a model unknown":    {Request{Model: "?", MaxOutput: 1000}, "$0.18"},
		"more than can be held": {Request{Model: "?", MaxOutput: maxAsked * maxAnswers}, NanoUSD(mostReserved).String()},
	} {
		if got := NanoUSD(l.reservation(test.request).usd).String(); got != test.want {
			t.Errorf("%s: %s, want %s", what, got, test.want)
		}
	}
}
