package cli

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"agentbox/internal/audit"
	"agentbox/internal/egress"
	"agentbox/internal/egress/meter"
	"agentbox/launch"
	"agentbox/profile"
)

// A spending says what becomes of a box that spends its budget.
type spending struct {
	record *recorder
	full   *fullness
	limits profile.Budget

	held  *heldBack
	mu    sync.Mutex
	ended *launch.Reached
	cost  meter.NanoUSD
	used  int64
}

func (c *caller) spending(p policy, record *recorder, full *fullness) *spending {
	return &spending{record: record, full: full, limits: p.effective.Profile.Budget, held: &heldBack{c: c, terminal: full.terminal}}
}

func (s *spending) budget(p profile.Profile) egress.Budget {
	return egress.Budget{Budget: p.Budget, Prices: prices(p), Warn: s.warn, Reached: s.reached, Unpriced: s.unpriced, Spent: s.count}
}

// prices are those of the profile over agentbox's own.
func prices(p profile.Profile) *meter.Prices {
	var list []meter.Price
	for _, r := range p.Prices {
		list = append(list, meter.Price{Model: r.Model, Input: r.Input, Output: r.Output, CacheRead: r.CacheRead, CacheWrite: r.CacheWrite})
	}
	return meter.NewPrices(list)
}

func (s *spending) count(c meter.Charge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cost, s.used = max(s.cost, c.Spent), max(s.used, c.Tokens)
}

func (s *spending) warn(c meter.Charge) {
	if c.Reached { // which says more
		return
	}
	s.held.say(fmt.Sprintf("%s of the budget of %s spent", s.share(c), s.limit()))
}

func (s *spending) unpriced(model string) {
	s.held.say(fmt.Sprintf("the price of the model %s is not known: it is counted as the dearest; a [[price]] of the profile can say better", model))
}

// reached does what budget.on_limit says. Requests are refused from here on in any case.
func (s *spending) reached(c meter.Charge) {
	r := launch.Reached{Name: launch.Budget, Value: s.limit(), Detail: s.share(c) + " spent"}
	switch {
	case s.limits.OnLimit == "freeze" && s.full.stop(context.Background(), r, `"agentbox cost %[1]s" shows what for, "agentbox resume %[1]s" lets it go on without its models, "agentbox kill %[1]s" ends it`):
	case s.limits.OnLimit == "refuse":
		s.held.say(r.String() + "; further requests to models are refused")
	default: // where nobody would resume it, a frozen box would stay for ever
		r.Ended = true
		s.mu.Lock()
		s.ended = &r
		s.mu.Unlock()
		_ = s.record.commit(&audit.Kill{By: "budget", Signal: "SIGKILL"})
		if v := s.full.take(); v != nil {
			_ = v.box.Kill()
		}
	}
}

func (s *spending) limit() string {
	switch {
	case s.limits.USD > 0 && s.limits.Tokens > 0:
		return fmt.Sprintf("%s and %d tokens", dollars(s.limits.USD), s.limits.Tokens)
	case s.limits.USD > 0:
		return dollars(s.limits.USD)
	}
	return strconv.FormatInt(s.limits.Tokens, 10) + " tokens"
}

// share is what of it was spent, in the same terms.
func (s *spending) share(c meter.Charge) string {
	switch {
	case s.limits.USD > 0 && s.limits.Tokens > 0:
		return fmt.Sprintf("%s and %d tokens", dollars(c.Spent.USD()), c.Tokens)
	case s.limits.USD > 0:
		return dollars(c.Spent.USD())
	}
	return strconv.FormatInt(c.Tokens, 10) + " tokens"
}

func dollars(usd float64) string { return meter.FromUSD(usd).String() }

// over says what was held back, and puts the end that the budget made into how the session ended.
func (s *spending) over(r *result, end *launch.Result) {
	if s == nil {
		return
	}
	s.held.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used > 0 {
		r.Spent = &spentResult{CostUSD: s.cost.USD(), Tokens: s.used}
	}
	if s.ended != nil {
		end.Limit = s.ended.Name
		end.Reached = append(end.Reached, *s.ended)
	}
}
