package egress

import (
	"net"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/profile"
)

// Bounds of what one box may hold open. A tunnel takes two descriptors, and two pipes while both sides send.
const (
	mostConnections = 4096
	perConnection   = 6
	otherFiles      = 256
)

func connectionLimit() int {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil || r.Cur > mostConnections*perConnection+otherFiles {
		return mostConnections
	}
	return max(int(r.Cur)-otherFiles, perConnection) / perConnection
}

// openConns are connections that are to be closed with the box.
type openConns struct {
	limit int
	mu    sync.Mutex
	conns map[net.Conn]bool
	most  int // at one time, since there was none
	over  bool
}

func (o *openConns) add(c net.Conn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over || len(o.conns) >= o.limit {
		return false
	}
	if o.conns == nil {
		o.conns = map[net.Conn]bool{}
	}
	o.conns[c] = true
	o.most = max(o.most, len(o.conns))
	return true
}

func (o *openConns) remove(c net.Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.conns, c)
	if len(o.conns) == 0 {
		if o.most > crowd {
			go tidy()
		}
		o.most = 0
	}
}

// crowd is how many connections at one time leave something worth giving back.
const crowd = 64

// tidy gives back what a crowd has left: memory, and the pipes that the standard library keeps for splice(2) until the
// second collection.
func tidy() {
	runtime.GC()
	debug.FreeOSMemory()
}

func (o *openConns) closeAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	for c := range o.conns {
		c.Close()
	}
}

// meters keep what the rows of network.rule count.
type meters struct {
	rules func(profile.Host, uint16) []ruleEntry
	mu    sync.Mutex
	list  map[string]*tally // by the rule's key
}

// A tally counts for one rule.
type tally struct {
	mu    sync.Mutex
	open  int64
	sent  int64
	since time.Time // of the window of rate
	count int64     // connections in it
}

// A toll is what one connection counts towards.
type toll struct {
	metered []metered
}

type metered struct {
	ruleEntry
	*tally
}

// enter counts a connection, or says which limit stands against it.
func (m *meters) enter(host profile.Host, port uint16) (*toll, *refusal) {
	t := &toll{}
	for _, r := range m.rules(host, port) {
		if r.row.Connections == 0 && r.row.Rate == "" && r.row.BytesOut == 0 {
			continue
		}
		one := metered{r, m.tally(r.key)}
		if detail := one.take(time.Now()); detail != "" {
			t.leave()
			v := r.verdict(TooMany)
			v.Detail = detail
			return nil, &refusal{Verdict: v}
		}
		t.metered = append(t.metered, one)
	}
	return t, nil
}

func (m *meters) tally(key string) *tally {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.list == nil {
		m.list = map[string]*tally{}
	}
	if m.list[key] == nil {
		m.list[key] = &tally{}
	}
	return m.list[key]
}

func (m metered) take(now time.Time) (detail string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	most, window := parseRate(m.row.Rate)
	if now.Sub(m.since) >= window {
		m.since, m.count = now, 0
	}
	switch {
	case m.row.Connections > 0 && m.open >= m.row.Connections:
		return "connections = " + strconv.FormatInt(m.row.Connections, 10) + " are open"
	case most > 0 && m.count >= most:
		return "rate = " + strconv.Quote(m.row.Rate) + " is used up"
	case m.row.BytesOut > 0 && m.sent >= int64(m.row.BytesOut):
		return "bytes_out = " + m.row.BytesOut.String() + " has been sent"
	}
	m.open++
	m.count++
	return ""
}

// parseRate reads "60/min"; 0 is no limit.
func parseRate(s string) (most int64, window time.Duration) {
	n, unit, ok := strings.Cut(s, "/")
	if !ok {
		return 0, 0
	}
	most, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		return 0, 0
	}
	return most, map[string]time.Duration{"s": time.Second, "min": time.Minute, "h": time.Hour}[unit]
}

// leave says that the connection is over.
func (t *toll) leave() {
	for _, m := range t.metered {
		m.mu.Lock()
		m.open--
		m.mu.Unlock()
	}
}

// noQuota is what grant gives where nothing is limited.
const noQuota = int64(1) << 62

// grant is how much may be sent next, and reserves it; 0 is that there is nothing left.
func (t *toll) grant(want int64) int64 {
	limited := false
	for i, m := range t.metered {
		if m.row.BytesOut == 0 {
			continue
		}
		limited = true
		m.mu.Lock()
		got := max(min(want, int64(m.row.BytesOut)-m.sent), 0)
		m.sent += got
		m.mu.Unlock()
		if got < want {
			for _, before := range t.metered[:i] {
				before.giveBack(want - got)
			}
			want = got
		}
	}
	if !limited {
		return noQuota
	}
	return want
}

// refund gives back what was granted and not sent.
func (t *toll) refund(n int64) {
	for _, m := range t.metered {
		m.giveBack(n)
	}
}

func (m metered) giveBack(n int64) {
	if m.row.BytesOut == 0 {
		return
	}
	m.mu.Lock()
	m.sent -= n
	m.mu.Unlock()
}
