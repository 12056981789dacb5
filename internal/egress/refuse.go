package egress

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"agentbox/internal/egress/meter"
)

// detail is what there is to say besides the reason.
func (r *refusal) detail() string {
	if r.err != nil {
		return shortly(r.err)
	}
	return r.Detail
}

// shortly is an error of the network in few words: what failed, and nothing about our own sockets.
func shortly(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	var sys *os.SyscallError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host"
	case errors.As(err, &dns):
		return "the name cannot be resolved: " + dns.Err
	case isTimeout(err):
		return "timeout"
	case errors.As(err, &sys):
		return sys.Err.Error()
	case errors.As(err, &op) && op.Err != nil:
		return op.Err.Error()
	}
	return err.Error()
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func isRefused(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }

// status is the one that makes clients stop: who repeats a request that policy refuses wastes everybody's time.
func (r *refusal) status() int {
	switch {
	case r.Reason == BadHost || r.Reason == WrongProtocol:
		return http.StatusBadRequest
	case r.Reason == Mismatch:
		return http.StatusMisdirectedRequest
	case r.Reason == TooMany:
		return http.StatusTooManyRequests
	case r.Reason == Unreachable && isTimeout(r.err):
		return http.StatusGatewayTimeout
	case r.Reason == Unreachable:
		return http.StatusBadGateway
	}
	return http.StatusForbidden
}

var reasonTexts = [reasonsInTotal]string{
	NotAllowed:    "the profile of this box does not allow this host",
	Denied:        "the profile of this box denies this host",
	BadHost:       "that is not a host that agentbox can read",
	BadAddress:    "that name leads to an address that no box may reach",
	BadRequest:    "the profile of this box does not allow this request",
	Mismatch:      "the names of the host do not agree",
	WrongProtocol: "that protocol may not be spoken here",
	TooMany:       "a limit of this box is used up",
	Unreachable:   "it is allowed, and could not be reached",
	Spent:         "the budget of this box is used up, or could not be kept",
}

// message tells a person and an agent alike: who refused, by which line, that to try again is of no use, and how to ask.
func (r *refusal) message(to target) string {
	var b strings.Builder
	host := to.name()
	if to.port != 0 {
		host += ":" + strconv.Itoa(int(to.port))
	}
	what := "refused"
	if r.Reason == Unreachable {
		what = "could not reach"
	}
	fmt.Fprintf(&b, "agentbox %s %s: %s.\n", what, printable(host), reasonTexts[min(r.Reason, reasonsInTotal-1)])
	switch {
	case r.Entry != "":
		fmt.Fprintf(&b, "rule: %s (%q)\n", r.Rule, r.Entry)
	case r.Rule != "":
		fmt.Fprintf(&b, "rule: %s\n", r.Rule)
	}
	if d := r.detail(); d != "" {
		fmt.Fprintf(&b, "detail: %s\n", printable(d))
	}
	switch r.Reason {
	case Unreachable:
	case NotAllowed, Denied:
		b.WriteString("Do not retry, and do not look for a way around: this is policy, and the answer will be the same.\n")
		fmt.Fprintf(&b, "To ask for it: a person adds %q to network.allow of the box's profile (\"agentbox why %s\" tells what decides).\n", allowEntry(to), printable(host))
	default:
		b.WriteString("Do not retry: the answer will be the same.\n")
	}
	return b.String()
}

// allowEntry is what would have to stand in network.allow.
func allowEntry(to target) string {
	if to.port == defaultPort || to.port == 0 {
		return printable(to.name())
	}
	return printable(to.name()) + ":" + strconv.Itoa(int(to.port))
}

// printable leaves out what a client could put into a name to write something else into a page.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// write answers a request; r is nil for CONNECT, whose clients show no page but the status line.
func (r *refusal) write(w http.ResponseWriter, request *http.Request, to target) {
	h := w.Header()
	h.Set("X-Agentbox-Refused", r.Reason.String())
	h.Set("X-Should-Retry", strconv.FormatBool(r.Reason == Unreachable))
	if request == nil || request.ProtoMajor < 2 { // of HTTP/2 it would be GOAWAY, at which curl 7.88 loses the page
		h.Set("Connection", "close")
	}
	h.Set("Cache-Control", "no-store")
	text := r.message(to)
	if r.Reason == Spent { // in the provider's own words, with a status that its clients do not try again after
		status, body := meter.Refusal(r.api, strings.TrimSpace(text))
		h.Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(body)
		return
	}
	kind := "text/plain; charset=utf-8"
	if request != nil && strings.Contains(request.Header.Get("Accept"), "json") {
		kind = "application/json"
		text = r.document(text)
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(r.status())
	_, _ = w.Write([]byte(text))
}

// document has the shape in which model APIs report errors, so that their clients show the message.
func (r *refusal) document(text string) string {
	type body struct {
		Type    string `json:"type"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}
	data, err := json.Marshal(struct {
		Type  string `json:"type"`
		Error body   `json:"error"`
	}{"error", body{"agentbox_refused", r.Reason.String(), text}})
	if err != nil {
		return "{}"
	}
	return string(data) + "\n"
}

// rawPage is the whole response, for a client that is connected with no server of HTTP.
func (r *refusal) rawPage(to target) []byte {
	text := r.message(to)
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nX-Agentbox-Refused: %s\r\nConnection: close\r\n\r\n%s",
		r.status(), http.StatusText(r.status()), len(text), r.Reason, text)
}
