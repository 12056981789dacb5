package world

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// A Query is a question that reached the world's name server.
type Query struct {
	Name string // in lower case, without the last dot
	Type dnsmessage.Type
	TCP  bool
}

// An Answer is what the name server says to a query.
type Answer struct {
	Silent  bool             // it says nothing
	RCode   dnsmessage.RCode // zero is success
	Aliases []string         // a chain of CNAMEs, of which the last one has the addresses
	Addrs   []netip.Addr     // of which those of the type in question are told
	TTL     uint32
}

// names are what the name server knows, and what it was asked.
type names struct {
	mu      sync.Mutex
	answers map[string]func(Query) Answer
	asked   []Query
	waiting map[string]chan struct{} // markers of Queries
	markers int
}

// Addrs are the addresses that some texts are.
func (w *World) Addrs(texts ...string) []netip.Addr {
	w.t.Helper()
	var out []netip.Addr
	for _, text := range texts {
		address, err := netip.ParseAddr(text)
		if err != nil {
			w.t.Fatal("world: ", err)
		}
		out = append(out, address)
	}
	return out
}

// Name has the name server tell a name's addresses. A name without any exists, but every answer for it is empty.
func (w *World) Name(name string, addresses ...string) {
	w.t.Helper()
	addrs := w.Addrs(addresses...)
	w.Answers(name, func(Query) Answer { return Answer{Addrs: addrs} })
}

// Answers has a function answer every query for a name. It may be called from several goroutines at once. Names without
// an answer do not exist.
func (w *World) Answers(name string, answer func(Query) Answer) {
	w.names.mu.Lock()
	defer w.names.mu.Unlock()
	if w.names.answers == nil {
		w.names.answers = map[string]func(Query) Answer{}
	}
	w.names.answers[normal(name)] = answer
}

// Queries are what the name server was asked until now: all, or those for some names.
func (w *World) Queries(only ...string) []Query {
	w.t.Helper()
	w.names.catchUp(w)
	w.names.mu.Lock()
	defer w.names.mu.Unlock()
	var out []Query
	for _, q := range w.names.asked {
		if len(only) == 0 || slices.ContainsFunc(only, func(name string) bool { return normal(name) == q.Name }) {
			out = append(out, q)
		}
	}
	return out
}

func normal(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// markerDomain is that of questions which only Queries asks.
const markerDomain = ".marker.invalid"

// note remembers a query and returns what answers it.
func (n *names) note(q Query) func(Query) Answer {
	n.mu.Lock()
	defer n.mu.Unlock()
	if arrived, ok := n.waiting[q.Name]; ok {
		close(arrived)
		delete(n.waiting, q.Name)
		return func(Query) Answer { return Answer{Silent: true} }
	}
	n.asked = append(n.asked, q)
	if answer, ok := n.answers[q.Name]; ok {
		return answer
	}
	return func(Query) Answer { return Answer{RCode: dnsmessage.RCodeNameError} }
}

// catchUp returns when every datagram that has been sent has been noted: they are read in order, and this sends one more.
func (n *names) catchUp(w *World) {
	w.t.Helper()
	n.mu.Lock()
	n.markers++
	name := strings.Repeat("x", n.markers%50+1) + markerDomain
	arrived := make(chan struct{})
	if n.waiting == nil {
		n.waiting = map[string]chan struct{}{}
	}
	n.waiting[name] = arrived
	n.mu.Unlock()
	packet, err := question(name)
	if err == nil {
		err = w.near.do(func() error { // the way that other queries take
			conn, err := net.Dial("udp", net.JoinHostPort(NameIPv4, "53"))
			if err == nil {
				_, err = conn.Write(packet)
				conn.Close()
			}
			return err
		})
	}
	if err != nil {
		w.t.Fatal("world: name server: ", err)
	}
	<-arrived
}

func question(name string) ([]byte, error) {
	full, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return nil, err
	}
	message := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: full, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	return message.Pack()
}
