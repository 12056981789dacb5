package archive

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// between stands before a shelf, and answers some requests itself: when f returns true.
func between(t testing.TB, f func(w http.ResponseWriter, r *http.Request, n int) bool) (*backend, *shelf) {
	t.Helper()
	s := &shelf{data: map[string]string{}, counts: map[string]int{}}
	var n atomic.Int32
	b := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count := 0
		if r.Method == http.MethodPut {
			count = int(n.Add(1))
		}
		if !f(w, r, count) {
			s.ServeHTTP(w, r)
		}
	}))
	s.describe(b)
	return b, s
}

// reset ends a connection in the middle, after some bytes of the request.
func reset(w http.ResponseWriter, r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, 50_000)
	if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
		c.Close()
	}
}

func TestServersInTrouble(t *testing.T) {
	status := func(code, times int) func(http.ResponseWriter, *http.Request, int) bool {
		return func(w http.ResponseWriter, r *http.Request, n int) bool {
			if r.Method == http.MethodPut && n <= times {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(code)
				return true
			}
			return false
		}
	}
	for name, tc := range map[string]struct {
		trouble func(http.ResponseWriter, *http.Request, int) bool
		want    string // "" is shipped, or found there
		stored  bool
		puts    int
		size    int
	}{
		"500 twice, and then it takes it":   {status(500, 2), "", true, 3, 0},
		"500 for ever":                      {status(500, 100), "PUT is answered with 500 Internal Server Error (3 attempts)", false, 3, 0},
		"429 once":                          {status(429, 1), "", true, 2, 0},
		"400":                               {status(400, 1), "PUT is answered with 400 Bad Request", false, 1, 0},
		"413":                               {status(413, 1), "PUT is answered with 413 Request Entity Too Large", false, 1, 0},
		"403":                               {status(403, 1), "PUT is answered with 403 Forbidden", false, 1, 0},
		"507":                               {status(507, 1), "PUT is answered with 507 Insufficient Storage", false, 1, 0},
		"202, which is no promise":          {status(202, 1), "PUT is answered with 202 Accepted", false, 1, 0},
		"412, and there is nothing":         {status(412, 100), "refused the name as taken, and has nothing under it (3 attempts)", false, 3, 0},
		"412 once, and then there is a way": {status(412, 1), "", true, 2, 0},
		"a reset in the middle of the body": {func(w http.ResponseWriter, r *http.Request, n int) bool {
			if n == 1 {
				reset(w, r)
			}
			return n == 1
		}, "", true, 2, 0},
		"a yes before it was read": {func(w http.ResponseWriter, r *http.Request, n int) bool {
			if n > 0 {
				w.WriteHeader(http.StatusCreated)
			}
			return n > 0
		}, "it was answered with 201 before all of it was sent (3 attempts)", false, 3, 20_000_000}, // more than sockets hold
		"resets for ever": {func(w http.ResponseWriter, r *http.Request, n int) bool {
			if n > 0 {
				reset(w, r)
			}
			return n > 0
		}, "(3 attempts)", false, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var puts atomic.Int32
			b, s := between(t, func(w http.ResponseWriter, r *http.Request, n int) bool {
				if n > 0 {
					puts.Store(int32(n))
				}
				return tc.trouble(w, r, n)
			})
			dir, _ := closedLogs(t, max(tc.size, 300_000))
			got := outcomes(ship(t, dir, to(t, b)))
			if tc.want == "" && got != "shipped" && got != "there" || !strings.Contains(got, tc.want) {
				t.Error(got)
			}
			if (s.counts[first] == 1) != tc.stored || int(puts.Load()) != tc.puts {
				t.Errorf("stored %d times, %d requests", s.counts[first], puts.Load())
			}
		})
	}
}

// An answer that was lost is asked for, and the file is not sent a second time.
func TestLostAnswer(t *testing.T) {
	var s *shelf
	var b *backend
	b, s = between(t, func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n != 1 {
			return false
		}
		data, _ := io.ReadAll(r.Body)
		b.put(t, first, string(data))
		reset(w, r)
		return true
	})
	dir, want := closedLogs(t, 300_000)
	if got := outcomes(ship(t, dir, to(t, b))); got != "there" || s.counts[first] != 0 {
		t.Errorf("%s, sent again %d times", got, s.counts[first])
	}
	b.holds(t, want)
}

func TestServersThatHang(t *testing.T) {
	for name, method := range map[string]string{"when they are asked": http.MethodHead, "when they are sent something": http.MethodPut, "never": "NONE"} {
		t.Run(name, func(t *testing.T) {
			b, _ := between(t, func(_ http.ResponseWriter, r *http.Request, _ int) bool {
				if r.Method == method {
					<-t.Context().Done()
				}
				return r.Method == method
			})
			dir, _ := closedLogs(t, 300_000, 10)
			p := quick
			if p.stall = 200 * time.Millisecond; method == "NONE" {
				p = quick
			}
			d, err := destination(b.archive, b.token, b.ca, "", p)
			if err != nil {
				t.Fatal(err)
			}
			got := outcomes(ship(t, dir, d))
			if method == "NONE" && got != "shipped\nshipped" {
				t.Error(got)
			}
			if method != "NONE" && (!strings.Contains(got, "nothing moved for 200ms (3 attempts)") || !strings.HasSuffix(got, "\nuntried")) {
				t.Error(got)
			}
		})
	}
}

// Whoever waits can stop waiting. What was begun is gone on with.
func TestInterrupted(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("no more")
	b, _ := between(t, func(_ http.ResponseWriter, r *http.Request, n int) bool {
		if n > 0 && broken.Load() {
			cancel(stop)
			<-t.Context().Done()
			return true
		}
		return false
	})
	dir, want := closedLogs(t, 300_000, 10)
	items, err := tryShip(ctx, dir, to(t, b))
	if !errors.Is(err, stop) || outcomes(items) != "failed: no more\nuntried" {
		t.Errorf("%v, %s", err, outcomes(items))
	}
	broken.Store(false)
	if got := outcomes(ship(t, dir, to(t, b))); got != "shipped\nshipped" {
		t.Error(got)
	}
	b.holds(t, want)
}

func TestWhatAServerSaysItHas(t *testing.T) {
	digest := func(text string) string {
		sum, _ := hex.DecodeString(sumOf(text))
		return "sha-256=:" + base64.StdEncoding.EncodeToString(sum) + ":"
	}
	for name, tc := range map[string]struct {
		header, value func(ours string) string
		have          func(ours string) string
		status        int // of HEAD
		want          string
	}{
		"the same, by a digest":                 {header: text("Repr-Digest"), value: digest, status: 200, want: "there"},
		"another, by a digest":                  {header: text("Repr-Digest"), value: func(string) string { return digest("x") }, status: 200, want: errOther.Error()},
		"the same, by an older digest":          {header: text("Digest"), value: func(s string) string { return "md5=x, SHA-256=" + strings.Trim(digest(s)[8:], ":") }, status: 200, want: "there"},
		"the same, by a tag":                    {header: text("ETag"), value: func(s string) string { return `"` + sumOf(s) + `"` }, status: 200, want: "there"},
		"a tag that says nothing, and the same": {header: text("ETag"), value: text(`"17"`), status: 200, want: "there"},
		"a tag that says nothing, and another":  {header: text("ETag"), value: text(`"17"`), have: func(s string) string { return "x" + s[1:] }, status: 200, want: errOther.Error()},
		"nothing by HEAD, and the same":         {status: 405, want: "there"},
		"nothing by HEAD, and a shorter one":    {have: func(s string) string { return s[1:] }, status: 405, want: errOther.Error()},
		"nothing by HEAD, and one that goes on": {have: func(s string) string { return s + "x" }, status: 501, want: errOther.Error()},
		"another length":                        {have: func(s string) string { return s + "x" }, status: 200, want: errOther.Error()},
		"that nobody may ask":                   {status: 403, want: "HEAD is answered with 403 Forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, want := closedLogs(t, 5000)
			have := want[first]
			if tc.have != nil {
				have = tc.have(have)
			}
			b, s := between(t, func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if r.Method == http.MethodPut {
					t.Error("it was sent")
				}
				if r.Method == http.MethodGet && tc.header != nil && tc.header("") != "ETag" {
					t.Error("it was read, though its digest was there")
				}
				if tc.header != nil {
					w.Header().Set(tc.header(""), tc.value(want[first]))
				}
				if r.Method == http.MethodHead && tc.status != 200 {
					w.WriteHeader(tc.status)
					return true
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(have)))
				_, _ = io.WriteString(w, have)
				return true
			})
			if got := outcomes(ship(t, dir, to(t, b))); !strings.Contains(got, tc.want) || len(s.counts) > 0 {
				t.Error(got)
			}
		})
	}
}

func text(s string) func(string) string { return func(string) string { return s } }

// A server that answers no question is believed when it refuses, and what it has cannot be compared.
func TestServerThatOnlyTakes(t *testing.T) {
	b, s := between(t, func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method != http.MethodPut {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
		return r.Method != http.MethodPut
	})
	dir, want := closedLogs(t, 5000, 6000)
	b.put(t, first, want[first])
	if got := outcomes(ship(t, dir, to(t, b))); got != "failed: "+errThere.Error()+"\nshipped" {
		t.Error(got)
	}
	b.holds(t, want)
	if s.counts[first] != 0 {
		t.Error("it was overwritten")
	}
}

// A redirect leads nowhere, and no other server sees the token.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var seen atomic.Value
	elsewhere := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen.Store(r.Header.Get("Authorization") + " asked") }))
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, method := range []string{http.MethodHead, http.MethodPut} {
			b, _ := between(t, func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if r.Method != method {
					return false
				}
				http.Redirect(w, r, elsewhere.archive+first, code)
				return true
			})
			dir, _ := closedLogs(t, 10)
			if got := outcomes(ship(t, dir, to(t, b))); !strings.Contains(got, fmt.Sprintf("%s is answered with %d", method, code)) {
				t.Errorf("%d: %s", code, got)
			}
		}
	}
	if seen.Load() != nil {
		t.Errorf("the other server was asked: %v", seen.Load())
	}
}

// A certificate of nobody's is an error, and the token is not shown. With the authority, the same server is good.
func TestTheServerIsWhoItSays(t *testing.T) {
	b := serverBackend(t)
	dir, _ := closedLogs(t, 10, 10)
	stranger := *b
	stranger.ca = string(otherAuthority(t))
	if got := outcomes(ship(t, dir, to(t, &stranger))); !strings.Contains(got, "certificate") || !strings.HasSuffix(got, "untried") || strings.Contains(got, "attempts") {
		t.Error(got)
	}
	if got := outcomes(ship(t, dir, to(t, b))); got != "shipped\nshipped" {
		t.Error(got)
	}
}

func otherAuthority(t *testing.T) []byte {
	ca, _, _ := certificate(t, t.TempDir())
	return []byte(ca)
}

// What a server makes of the token comes back in no error and no file.
func TestTheTokenIsInNoError(t *testing.T) {
	for _, code := range []int{200, 302, 400, 401, 403, 409, 500} {
		b, _ := between(t, func(w http.ResponseWriter, r *http.Request, _ int) bool {
			echo := r.Header.Get("Authorization")
			w.Header().Set("Location", "https://x.invalid/?t="+strings.TrimPrefix(echo, "Bearer "))
			w.Header().Set("ETag", echo)
			w.Header().Set("Retry-After", echo)
			w.Header().Set("X-Amz-Bucket-Region", strings.TrimPrefix(echo, "Bearer "))
			w.WriteHeader(code)
			fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", echo)
			return true
		})
		dir, _ := closedLogs(t, 10)
		items := ship(t, dir, to(t, b))
		var e *Error
		if errors.As(items[0].Err, &e) && strings.Contains(e.Hint, testToken) || items[0].Err == nil || strings.Contains(outcomes(items), testToken) {
			t.Errorf("%d: %s", code, outcomes(items))
		}
		noSecretBelow(t, dir, testToken)
	}
}

// An answer that is no HTTP is quoted by the client, and may hold the token, too.
func TestTheTokenIsInNoQuotation(t *testing.T) {
	for name, answer := range map[string]string{"a line": "%s\r\n\r\n", "a status": "HTTP/1.1 %s\r\n\r\n", "a header": "HTTP/1.1 200 OK\r\n%s\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			b, _ := between(t, func(w http.ResponseWriter, r *http.Request, _ int) bool {
				c, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					return false
				}
				defer c.Close()
				fmt.Fprintf(c, answer, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
				return true
			})
			dir, _ := closedLogs(t, 10)
			got := outcomes(ship(t, dir, to(t, b)))
			if strings.Contains(got, testToken) || !strings.Contains(got, "its answer is no HTTP (3 attempts)") {
				t.Error(got)
			}
		})
	}
}
