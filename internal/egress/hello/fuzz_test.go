package hello

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func seeds(f *testing.F) {
	for _, said := range captured(f) {
		f.Add(said)
	}
	f.Add([]byte(hello(named("a.example"), ext(16, vec(2, vec(1, "h2"))), ext(43, vec(1, "\x03\x04")), ext(0xfe0d, "x"))))
	f.Add([]byte(records(message(body(named("a.example"))), 20) + "more"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("\x80\x2e\x01\x03\x01"))
}

// FuzzRead looks for bytes that are read beyond what is needed, or differently in other pieces.
func FuzzRead(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, said []byte) {
		const limit = 2000
		rest := bytes.NewReader(said)
		raw, h, err := Read(rest, limit)
		if len(raw) > limit || len(said)-rest.Len() != len(raw) || !bytes.HasPrefix(said, raw) {
			t.Fatalf("%x: read %d bytes and has %x", said, len(said)-rest.Len(), raw)
		}
		if len(said) > 0 && LooksLike(said) == errors.Is(err, ErrNotTLS) {
			t.Fatalf("%x: looks like it is %v, and Read says %v", said, LooksLike(said), err)
		}
		_, again, errAgain := Read(iotest.OneByteReader(bytes.NewReader(said)), limit)
		if diff := cmp.Diff(h, again); diff != "" || (err == nil) != (errAgain == nil) {
			t.Fatalf("%x: byte by byte %v:\n%s", said, errAgain, diff)
		}
		if err != nil {
			if !cmp.Equal(h, Hello{}) {
				t.Fatalf("%x: %v, and %+v", said, err, h)
			}
			return
		}
		agrees(t, raw, h, false)
	})
}

// FuzzBody spares the fuzzer the lengths of records and message. What is accepted means the same in any records, and to
// a server.
func FuzzBody(f *testing.F) {
	f.Add([]byte(body(named("a.example"), ext(16, vec(2, vec(1, "h2"))))))
	f.Add([]byte(body(ext(43, vec(1, "\x03\x04")), ext(0xfe0d, "x"))))
	for _, said := range captured(f) {
		f.Add(said[recordHeader+messageHeader:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 4000 {
			return
		}
		said := records(message(string(body)), maxFragment)
		_, h, err := Read(strings.NewReader(said), limit)
		_, again, errAgain := Read(strings.NewReader(records(message(string(body)), 7)), limit)
		if diff := cmp.Diff(h, again); diff != "" || (err == nil) != (errAgain == nil) {
			t.Fatalf("%x: %v; in small records %v:\n%s", body, err, errAgain, diff)
		}
		if err == nil {
			agrees(t, []byte(said), h, false)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	said := captured(b)["curl-7.88"]
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Read(bytes.NewReader(said), limit); err != nil {
			b.Fatal(err)
		}
	}
}
