package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"agentbox/internal/egress/meter"
	"agentbox/profile"
)

const (
	lookupTime = 15 * time.Second // for one question to the host's resolver
	freshTime  = 30 * time.Second // an answer is used that long, and is the same for every decision meanwhile
	maxAnswers = 4096
	maxAddrs   = 32 // of one name that are looked at
)

// Lookup asks the host for the addresses of a name.
type Lookup func(ctx context.Context, name string) ([]netip.Addr, error)

// HostLookup resolves as the host does, from its hosts file and its resolvers. A dot keeps the host's search list from
// making another name of one that is whole; a name of one part is nothing without it.
func HostLookup(ctx context.Context, name string) ([]netip.Addr, error) {
	if strings.Contains(name, ".") {
		name += "."
	}
	return (&net.Resolver{PreferGo: true}).LookupNetIP(ctx, "ip", name)
}

// An answer is what a name has been resolved to; done is closed when it is there.
type answer struct {
	done  chan struct{}
	at    time.Time
	addrs []netip.Addr
	err   error
}

// resolver remembers answers, so that one name is asked for once however many connections it has.
type resolver struct {
	lookup Lookup
	mu     sync.Mutex
	known  map[string]*answer
}

func (r *resolver) resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	a := r.ask(name)
	select {
	case <-a.done:
		return a.addrs, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *resolver) ask(name string) *answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a, ok := r.known[name]; ok && !a.stale() {
		return a
	}
	if r.known == nil || len(r.known) >= maxAnswers {
		r.known = map[string]*answer{}
	}
	a := &answer{done: make(chan struct{}), at: time.Now()}
	r.known[name] = a
	go func() {
		defer close(a.done)
		ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
		defer cancel()
		a.addrs, a.err = r.lookup(ctx, name)
		for i, addr := range a.addrs {
			a.addrs[i] = addr.WithZone("").Unmap()
		}
		a.addrs = slices.Clip(a.addrs[:min(len(a.addrs), maxAddrs)])
		if a.err == nil && len(a.addrs) == 0 {
			a.err = &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
		}
	}()
	return a
}

// stale says that an answer is to be asked for again; a failure is, as soon as it is known.
func (a *answer) stale() bool {
	select {
	case <-a.done:
		return a.err != nil || time.Since(a.at) > freshTime
	default:
		return false
	}
}

func notFound(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}

// A refusal is a connection that must not be made, or that could not be.
type refusal struct {
	Verdict
	err error     // upstream's failure, of Unreachable
	api meter.API // whose client asks, of Spent
}

func (r *refusal) Error() string {
	if r.err != nil {
		return r.err.Error()
	}
	return r.Reason.String()
}

func (r *refusal) Unwrap() error { return r.err }

// pin finds the addresses that an allowed host may be dialled at. Of a name with several some may be refused: it is
// reached at the others, and not at all when there are none.
func (g *Gateway) pin(ctx context.Context, host profile.Host, port uint16) ([]netip.Addr, error) {
	addrs := []netip.Addr{host.Addr}
	if host.Name != "" {
		var err error
		if addrs, err = g.resolver.resolve(ctx, host.Name); err != nil {
			return nil, &refusal{Verdict: Verdict{Reason: Unreachable}, err: err}
		}
	}
	var good []netip.Addr
	worst := &refusal{Verdict: Verdict{Reason: BadAddress}}
	for _, a := range addrs {
		reason, detail := g.policy.mayDial(host, port, a)
		if reason == Allowed {
			good = append(good, a)
			continue
		}
		worst.Reason, worst.Detail = reason, detail
		if reason == Denied {
			worst.Rule, worst.Detail = detail, ""
		} else if host.Name != "" {
			worst.Detail = host.Name + " has the address " + a.String() + " (" + detail + ")"
		} else {
			worst.Detail = a.String() + " is an address that is refused (" + detail + ")"
		}
	}
	if len(good) == 0 {
		return nil, worst
	}
	return good, nil
}
