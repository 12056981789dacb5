package egress

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"agentbox/internal/audit"
	"agentbox/internal/egress/credential"
	"agentbox/profile"
)

// A strict is the second reader of what is sent on: one that knows only the plain forms of RFC 9112, and takes anything
// else for an attempt to make two servers see two things.
type strict struct {
	lines []string // "METHOD target host"
	keys  int      // how many of them have the credential
}

var (
	requestLine = regexp.MustCompile(`^([!#$%&'*+.^_|~\x600-9A-Za-z-]+) (/[^ \x00-\x20\x7f]*|\*) HTTP/1\.1$`)
	fieldLine   = regexp.MustCompile(`^([!#$%&'*+.^_|~\x600-9A-Za-z-]+): ([^\x00\r\n]*)$`)
)

// read takes requests off the stream until it ends; only the last may be cut.
func (s *strict) read(data []byte) error {
	for len(data) > 0 {
		head, rest, whole := bytes.Cut(data, []byte("\r\n\r\n"))
		if !whole {
			return nil
		}
		lines := strings.Split(string(head), "\r\n")
		m := requestLine.FindStringSubmatch(lines[0])
		if m == nil {
			return fmt.Errorf("request line %q", lines[0])
		}
		fields := map[string][]string{}
		for _, l := range lines[1:] {
			f := fieldLine.FindStringSubmatch(l)
			if f == nil {
				return fmt.Errorf("field line %q", l)
			}
			name := strings.ToLower(f[1])
			fields[name] = append(fields[name], f[2])
		}
		if len(fields["host"]) != 1 {
			return fmt.Errorf("hosts %q", fields["host"])
		}
		s.lines = append(s.lines, m[1]+" "+m[2]+" "+fields["host"][0])
		s.keys += len(fields["x-api-key"])
		var err error
		if data, err = skipBody(rest, fields["content-length"], fields["transfer-encoding"]); err != nil {
			return err
		}
	}
	return nil
}

func skipBody(data []byte, lengths, codings []string) ([]byte, error) {
	switch {
	case len(lengths)+len(codings) > 1:
		return nil, fmt.Errorf("lengths %q and codings %q", lengths, codings)
	case len(lengths) == 1:
		n, err := strconv.ParseUint(lengths[0], 10, 31)
		if err != nil || strconv.FormatUint(n, 10) != lengths[0] {
			return nil, fmt.Errorf("length %q", lengths[0])
		}
		return data[min(int(n), len(data)):], nil
	case len(codings) == 0:
		return data, nil
	case codings[0] != "chunked":
		return nil, fmt.Errorf("coding %q", codings[0])
	}
	for {
		line, rest, ok := bytes.Cut(data, []byte("\r\n"))
		if !ok {
			return nil, nil
		}
		n, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return nil, fmt.Errorf("chunk %q", line)
		}
		if n == 0 {
			_, rest, _ = bytes.Cut(append([]byte("\r\n"), rest...), []byte("\r\n\r\n"))
			return rest, nil
		}
		data = rest[min(int(n)+2, len(rest)):]
	}
}

// Whatever an agent says on a connection to a host with a credential, what leaves can be read in one way only, and each
// request of it was decided about.
func FuzzSmuggling(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3, 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: +3\r\n\r\nabc", "GET /\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"GET / HTTP/1.1\nHost: 127.0.0.1\n\n", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n b\r\n\r\n", "GET / HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nTrailer: X-Api-Key\r\n\r\n3;a=\"\r\n\r\n\"\r\nabc\r\n0\r\nX-Api-Key: mine\r\nHost: evil\r\n\r\n",
		"GET http://127.0.0.1/?a#b HTTP/1.1\r\nHost: evil.test\r\n\r\n", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: X-Api-Key, Host\r\nX-Api-Key: mine\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "GET /%0d%0aX:%20y HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
	} {
		f.Add([]byte(s))
	}
	h, err := profile.ParseHost("127.0.0.1")
	if err != nil {
		f.Fatal(err)
	}
	row := profile.Credential{Name: "key", Hosts: []string{"http://127.0.0.1:80"}, Header: "X-Api-Key"}
	policy := compile(f, profile.Network{Allow: []string{"127.0.0.1:80"}, Private: []string{"127.0.0.0/8"}})
	f.Fuzz(func(t *testing.T, sent []byte) {
		s := &served{t: t}
		s.Gateway = newGateway(t, Options{Policy: policy, Record: s.note, Credentials: []credential.Credential{{Row: row, Source: fixed{realKey}}},
			Lookup: func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
			}})
		var mu sync.Mutex
		var streams []*bytes.Buffer
		var running sync.WaitGroup
		s.dialer = func(context.Context, netip.AddrPort) (net.Conn, error) {
			near, far := net.Pipe()
			b := &bytes.Buffer{}
			mu.Lock()
			streams = append(streams, b)
			mu.Unlock()
			running.Go(func() {
				for part := make([]byte, 4096); !bytes.Contains(b.Bytes(), []byte("\r\n\r\n")); {
					n, err := far.Read(part)
					if b.Write(part[:n]); err != nil {
						return
					}
				}
				running.Go(func() { io.Copy(b, far) })
				io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			})
			return near, nil
		}
		near, far := net.Pipe()
		s.serveHTTP()
		s.plain.give(&handed{Conn: near, to: target{host: h, port: 80, via: viaCapture}, over: func() {}})
		// Who hangs up is not served: it waits for what was said after it to be answered, if it is not a body that goes on.
		far.SetDeadline(time.Now().Add(30 * time.Millisecond))
		running.Go(func() {
			far.Write(append(bytes.Clone(sent), "GET /last HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"...))
		})
		io.Copy(io.Discard, far)
		far.Close()
		s.Close()
		running.Wait()
		var all strict
		for _, b := range streams {
			if err := all.read(b.Bytes()); err != nil {
				t.Errorf("%q went out as %q: %v", sent, b, err)
			}
		}
		for _, l := range all.lines {
			if !strings.HasSuffix(l, " 127.0.0.1") {
				t.Errorf("%q asks for %q", sent, l)
			}
		}
		decided := 0
		for _, e := range s.events {
			switch e.(type) {
			case *audit.NetworkRequest, *audit.NetworkRefused:
				decided++
			}
		}
		if len(all.lines) > decided {
			t.Errorf("%q went out as %q, and %d were decided about", sent, all.lines, decided)
		}
		if string(sent) == "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" && len(all.lines) != 2 {
			t.Errorf("%q went out of two requests", all.lines)
		}
		if all.keys != len(all.lines) {
			t.Errorf("%q went out as %q with %d keys", sent, all.lines, all.keys)
		}
	})
}
