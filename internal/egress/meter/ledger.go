package meter

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
)

// What a reservation assumes where the request does not say.
const (
	// DefaultOutput is the most that a model of the table gives in one answer.
	DefaultOutput = 128_000
	// ElsewhereInput is the most that a model of the table reads at once.
	ElsewhereInput = 1_050_000
	// reservedBytesPerToken is how many bytes of a request make a token: few, so that the reservation is not too small.
	reservedBytesPerToken = 3
)

// Limits of a Ledger. Zero is none; what is not a number, or less than nothing, lets nothing through.
type Limits struct {
	USD    float64
	Tokens int64
	WarnAt float64 // the part of a limit at which a Charge has Warn
}

// An Exceeded error says that the budget is spent.
type Exceeded struct {
	What  string // "usd" or "tokens"
	Limit string
	Spent string
}

// Error says it in a sentence.
func (e *Exceeded) Error() string {
	unit := ""
	if e.What == "tokens" {
		unit = " tokens"
	}
	return fmt.Sprintf("the budget of %s%s is spent: %s", e.Limit, unit, e.Spent)
}

// A Ledger adds up what was used and keeps it within Limits. It may be used from several goroutines.
type Ledger struct {
	prices *Prices
	usd    account
	tokens account
	warnAt float64

	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, when a reservation goes
	warned  bool
	reached bool
}

// An account is one of the two sums.
type account struct {
	limited  bool
	limit    int64
	spent    int64
	reserved int64
}

func (a *account) over() bool { return a.limited && a.spent >= a.limit }
func (a *account) room() bool { return !a.limited || a.spent+a.reserved < a.limit }
func (a *account) warns(at float64) bool {
	return a.limited && at > 0 && float64(a.spent) >= at*float64(a.limit)
}

// What is more counts as this: sums of it do not overflow.
const (
	most         = math.MaxInt64 / 4 // of an account
	mostReserved = most >> 14        // of a reservation: over a hundred thousand dollars
)

func add(a, b int64) int64 { return min(a+min(b, most), most) }

// NewLedger returns a Ledger of which nothing is spent.
func NewLedger(l Limits, p *Prices) *Ledger {
	ledger := &Ledger{prices: p, warnAt: l.WarnAt, changed: make(chan struct{})}
	if l.USD != 0 {
		limit := int64(0)
		if l.USD > 0 {
			limit = max(1, int64(FromUSD(l.USD))) // less than a NanoUSD is not nothing
		}
		ledger.usd = account{limited: true, limit: limit}
	}
	if l.Tokens != 0 {
		ledger.tokens = account{limited: true, limit: min(max(0, l.Tokens), most)}
	}
	return ledger
}

// Spent returns what was used so far.
func (l *Ledger) Spent() (NanoUSD, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return NanoUSD(l.usd.spent), l.tokens.spent
}

// Reserve waits until the request may be sent. It is let in when what is spent and what is reserved together are below the
// limit, and refused with an *Exceeded when what is spent is not. Where only reservations stand against it, it waits for
// them to go, as long as ctx does. Whoever gets a Reservation has to settle or to cancel it.
//
// The reservation is the dearest that can come of the request: all the output it allows and all its bytes as input, at the
// dearest price that may apply. So when the last request is let in, all that others may yet cost is below the limit, and
// the total passes it by no more than what this one costs. This rests on the server: it answers with the model it is asked
// for, keeps to the number of tokens it is told, and reads no more tokens than a third of the request's bytes, and
// ElsewhereInput where the request brings in what is not in it. Each request in flight that goes beyond its reservation
// adds what it went beyond.
func (l *Ledger) Reserve(ctx context.Context, r Request) (*Reservation, error) {
	reservation := l.reservation(r)
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("waiting for the budget: %w", err)
		}
		l.mu.Lock()
		if err := l.exceeded(); err != nil {
			l.mu.Unlock()
			return nil, err
		}
		if l.usd.room() && l.tokens.room() {
			l.usd.reserved += reservation.usd
			l.tokens.reserved += reservation.tokens
			l.mu.Unlock()
			return reservation, nil
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// exceeded returns the error of a limit that is reached, or nil.
func (l *Ledger) exceeded() error {
	if l.usd.over() {
		return &Exceeded{What: "usd", Limit: NanoUSD(l.usd.limit).String(), Spent: NanoUSD(l.usd.spent).String()}
	}
	if l.tokens.over() {
		return &Exceeded{What: "tokens", Limit: strconv.FormatInt(l.tokens.limit, 10), Spent: strconv.FormatInt(l.tokens.spent, 10)}
	}
	return nil
}

// reservation returns what is to be reserved for a request.
func (l *Ledger) reservation(r Request) *Reservation {
	price, _ := l.prices.Of(r.Model)
	read := (max(0, r.Size) + reservedBytesPerToken - 1) / reservedBytesPerToken
	if r.Elsewhere {
		read += ElsewhereInput
	}
	u := Usage{Fast: r.Fast, Regional: r.Regional, Output: cmp.Or(max(0, r.MaxOutput), DefaultOutput)}
	u.takeInput(r, read)
	return &Reservation{ledger: l, request: r, usd: min(int64(FromUSD(price.Cost(u))), mostReserved), tokens: min(u.Tokens(), mostReserved)}
}

// takeInput puts tokens that a request may have read where they are dearest.
func (u *Usage) takeInput(r Request, tokens int64) {
	switch {
	case r.LongCacheWrites:
		u.CacheWriteLong += tokens
	case r.CacheWrites:
		u.CacheWrite += tokens
	default:
		u.Input += tokens
	}
}

// A Charge is what a request came to.
type Charge struct {
	Model     string
	Known     bool // there is a price for the model
	Usage     Usage
	Cost      NanoUSD
	Estimated bool
	Warn      bool // with this one the total reached Limits.WarnAt; one Charge of a Ledger says so
	Reached   bool // with this one the total reached a limit; one Charge of a Ledger says so
	Spent     NanoUSD
	Tokens    int64 // of the whole Ledger, as Spent is
}

// A Reservation holds money and tokens for one request until it is settled or cancelled.
type Reservation struct {
	ledger  *Ledger
	request Request
	usd     int64
	tokens  int64
	gone    bool // guarded by the Ledger's lock, as charge is
	charge  Charge
}

// Settle replaces the reservation by what was used. A result of which nothing was found and nothing is estimated, like that
// of an answer that is an error, costs nothing. A second call changes nothing and returns the same Charge, without Warn and
// Reached; after Cancel it returns an empty one.
func (r *Reservation) Settle(res Result) Charge {
	l := r.ledger
	u := r.used(res)
	model := cmp.Or(res.Model, r.request.Model)
	price, known := l.prices.Of(model)
	cost := FromUSD(price.Cost(u))

	l.mu.Lock()
	defer l.mu.Unlock()
	if r.gone {
		return r.charge
	}
	l.usd.spent = add(l.usd.spent, int64(cost))
	l.tokens.spent = add(l.tokens.spent, u.Tokens())
	r.release()
	r.charge = Charge{
		Model: model, Known: known, Usage: u, Cost: cost, Estimated: res.Estimated,
		Spent: NanoUSD(l.usd.spent), Tokens: l.tokens.spent,
	}
	charge := r.charge
	if !l.warned && (l.usd.warns(l.warnAt) || l.tokens.warns(l.warnAt)) {
		l.warned, charge.Warn = true, true
	}
	if !l.reached && (l.usd.over() || l.tokens.over()) {
		l.reached, charge.Reached = true, true
	}
	return charge
}

// used is the usage of a result, with what the response did not get to say. Input that was not reported is taken to be a
// token for each four bytes of the request, where it is dearest; an estimate of the output ends at what the request allows.
func (r *Reservation) used(res Result) Usage {
	if !res.Found && !res.Estimated {
		return Usage{}
	}
	u := res.Usage
	if !res.Estimated {
		return u
	}
	if u.read() == 0 {
		u.takeInput(r.request, (max(0, r.request.Size)+bytesPerToken-1)/bytesPerToken)
	}
	if r.request.MaxOutput > 0 {
		u.Output = min(u.Output, r.request.MaxOutput)
	}
	u.Fast = u.Fast || r.request.Fast
	u.Regional = u.Regional || r.request.Regional
	return u
}

// Cancel gives the reservation back: the request was not sent, or cost nothing. After Settle it does nothing.
func (r *Reservation) Cancel() {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	if !r.gone {
		r.release()
	}
}

// release takes the reservation off the Ledger and wakes those that wait.
func (r *Reservation) release() {
	l := r.ledger
	r.gone = true
	l.usd.reserved -= r.usd
	l.tokens.reserved -= r.tokens
	close(l.changed)
	l.changed = make(chan struct{})
}
