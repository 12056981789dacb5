package egress

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"

	"golang.org/x/sync/semaphore"

	"agentbox/internal/audit"
	"agentbox/internal/egress/meter"
	"agentbox/profile"
)

// A Budget says what a box may spend on models. The zero value counts, and refuses nothing.
type Budget struct {
	profile.Budget
	Prices *meter.Prices
	// Warn, Reached and Unpriced are told of warn_at, of the limit, and of a model that no table of prices has: once each,
	// the last one once for every model.
	Warn, Reached func(meter.Charge)
	Unpriced      func(model string)
	Spent         func(meter.Charge) // told of everything that is counted
}

// A purse is what the box has spent.
type purse struct {
	Budget
	ledger *meter.Ledger
	hosts  []entry
	held   *semaphore.Weighted // bytes of requests
	mu     sync.Mutex
	strays []string // models without a price
}

func newPurse(b Budget) (*purse, error) {
	hosts, err := compileList("budget.hosts", b.Hosts, false, nil)
	if err != nil {
		return nil, err
	}
	if b.Prices == nil {
		b.Prices = meter.NewPrices(nil)
	}
	ledger := meter.NewLedger(meter.Limits{USD: b.USD, Tokens: b.Tokens, WarnAt: b.WarnAt}, b.Prices)
	return &purse{Budget: b, ledger: ledger, hosts: hosts, held: semaphore.NewWeighted(mostHeld)}, nil
}

// strict reports whether a host is one of a model's, where everything that may cost something is counted or refused.
func (p *purse) strict(to target) bool {
	return p.Limited() && slices.ContainsFunc(p.hosts, func(e entry) bool { return portOf(e) == to.port && e.Match(to.host) })
}

// Bounds of requests to models, which are read before they are sent on: of one, and of all at one time.
const (
	mostRead = 32 << 20
	mostHeld = 4 * mostRead
)

// A usage is what one request to a model costs.
type usage struct {
	api      meter.API
	strict   bool
	reserved *meter.Reservation
	reader   *meter.Reader // nil: the response says nothing
	charge   meter.Charge
}

// meter lets a request to a model in. Its refusal is to be written.
func (g *Gateway) meter(e *exchange, path string) *refusal {
	to := e.flow.target
	strict := g.purse.strict(to)
	if !strict && !g.credentials.Covers(to.credential()) {
		return nil
	}
	upgrade := e.asked.Header.Get("Upgrade") != ""
	api := meter.Recognise(e.asked.Method, path)
	if strict && (api == meter.NoAPI || upgrade) && !meter.Free(e.asked.Method, path, upgrade) {
		return &refusal{Verdict: Verdict{Reason: Spent, Rule: "budget", Detail: "what this request costs cannot be counted, and this box has a budget"}, api: api}
	}
	if api == meter.NoAPI || upgrade {
		return nil
	}
	var request meter.Request
	if g.purse.Limited() {
		var refused *refusal
		if request, refused = e.readRequest(api); refused != nil {
			return refused
		}
	}
	reserved, err := g.purse.ledger.Reserve(e.asked.Context(), request)
	if err != nil {
		var spent *meter.Exceeded
		if errors.As(err, &spent) {
			return &refusal{Verdict: Verdict{Reason: Spent, Rule: "budget." + spent.What, Entry: spent.Limit, Detail: spent.Error()}, api: api}
		}
		return &refusal{Verdict: Verdict{Reason: Unreachable}, err: err}
	}
	e.usage = &usage{api: api, strict: strict, reserved: reserved}
	e.request.Header.Set("Accept-Encoding", "identity")
	return nil
}

// readRequest reads the whole of a request that is to be sent on unchanged.
func (e *exchange) readRequest(api meter.API) (meter.Request, *refusal) {
	no := func(detail string) (meter.Request, *refusal) {
		return meter.Request{}, &refusal{Verdict: Verdict{Reason: Spent, Rule: "budget", Detail: detail}, api: api}
	}
	if c := e.asked.Header.Get("Content-Encoding"); c != "" && c != "identity" {
		return no("the request is compressed, and this box has a budget")
	}
	e.held = mostRead
	if n := e.asked.ContentLength; n >= 0 && n < mostRead {
		e.held = n
	}
	if err := e.gateway.purse.held.Acquire(e.asked.Context(), e.held); err != nil {
		e.held = 0
		return meter.Request{}, &refusal{Verdict: Verdict{Reason: Unreachable}, err: err}
	}
	body, err := io.ReadAll(io.LimitReader(e.request.Body, mostRead+1))
	switch {
	case e.flow.failure != nil:
		return meter.Request{}, &refusal{Verdict: Verdict{Reason: TooMany, Detail: e.flow.failure.Error()}}
	case err != nil:
		return meter.Request{}, &refusal{Verdict: Verdict{Reason: WrongProtocol, Detail: "the request ends before it is whole"}}
	case len(body) > mostRead:
		return no("the request is larger than 32 MiB, and this box has a budget")
	}
	request, err := meter.ParseRequest(api, body)
	if err != nil {
		return no("the request cannot be read: " + err.Error())
	}
	e.request.Body = io.NopCloser(bytes.NewReader(body))
	e.request.ContentLength = int64(len(body))
	e.request.TransferEncoding = nil
	return request, nil
}

// watch finds in a response what was used.
func (u *usage) watch(r *http.Response, body io.Reader) io.Reader {
	if u == nil || r.StatusCode/100 != 2 {
		return body
	}
	u.reader = meter.NewReader(u.api, r.Header.Get("Content-Type"))
	return io.TeeReader(body, u.reader)
}

// settle counts what an exchange has cost.
func (g *Gateway) settle(e *exchange) {
	u := e.usage
	if u == nil {
		return
	}
	var result meter.Result
	switch {
	case u.reader != nil:
		result = u.reader.Result()
	case e.cut: // the server works all the same
		result.Estimated = true
	}
	if !result.Found && !u.strict { // a host that only looks like a model's
		result = meter.Result{}
	}
	u.charge = u.reserved.Settle(result)
	tell(g.purse.Spent, u.charge)
	limits := g.purse.Budget.Budget
	cost, tokens := u.charge.Spent.USD(), u.charge.Tokens
	if u.charge.Warn {
		g.record(&audit.BudgetWarning{SpentUSD: cost, LimitUSD: limits.USD, Tokens: tokens, LimitTokens: limits.Tokens})
		tell(g.purse.Warn, u.charge)
	}
	if u.charge.Reached {
		g.record(&audit.BudgetReached{SpentUSD: cost, LimitUSD: limits.USD, Tokens: tokens, LimitTokens: limits.Tokens, Action: audit.Text(limits.OnLimit)})
		tell(g.purse.Reached, u.charge)
	}
	if u.charge.Usage.Tokens() > 0 && u.charge.Model != "" && !u.charge.Known {
		g.purse.stray(u.charge.Model)
	}
}

func tell(f func(meter.Charge), c meter.Charge) {
	if f != nil {
		f(c)
	}
}

// mostStrays bounds what is remembered of models without a price.
const mostStrays = 64

func (p *purse) stray(model string) {
	p.mu.Lock()
	known := slices.Contains(p.strays, model) || len(p.strays) >= mostStrays
	if !known {
		p.strays = append(p.strays, model)
	}
	p.mu.Unlock()
	if !known && p.Unpriced != nil {
		p.Unpriced(model)
	}
}

// note puts what was used into the record of a request.
func (u *usage) note(r *audit.NetworkRequest) {
	if u == nil {
		return
	}
	c := u.charge
	r.Model, r.Estimated = audit.Text(c.Model), c.Estimated
	r.Unpriced = c.Model != "" && !c.Known
	r.Input, r.Output, r.CacheRead, r.CacheWrite = c.Usage.Input, c.Usage.Output, c.Usage.CacheRead, c.Usage.CacheWrite+c.Usage.CacheWriteLong
	r.CostUSD = c.Cost.USD()
}
