package hello

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

const limit = 64 << 10

// number and vec write what cursor reads.
func number(width, n int) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(n))[4-width:])
}
func vec(width int, content ...string) string {
	all := strings.Join(content, "")
	return number(width, len(all)) + all
}

func ext(kind int, data string) string { return number(2, kind) + vec(2, data) }

func named(name string) string { return ext(0, vec(2, "\x00"+vec(2, name))) }

const random = "0123456789abcdef0123456789abcdef"

// body is that of a ClientHello with these extensions.
func body(extensions ...string) string {
	return "\x03\x03" + random + vec(1) + vec(2, "\x13\x01") + vec(1, "\x00") + vec(2, extensions...)
}

func message(body string) string { return "\x01" + vec(3, body) }

// records puts a message into records of so many bytes at most.
func records(message string, size int) string {
	var out strings.Builder
	for part := range slices.Chunk([]byte(message), size) {
		out.WriteString("\x16\x03\x01" + vec(2, string(part)))
	}
	return out.String()
}

func hello(extensions ...string) string { return records(message(body(extensions...)), maxFragment) }

func TestReadFindsWhatTheClientNames(t *testing.T) {
	const v2, v3 = 0x0303, 0x0304
	for name, test := range map[string]struct {
		said string
		want Hello
	}{
		"nothing":                      {hello(), Hello{Version: v2}},
		"a hello without extensions":   {records(message(strings.TrimSuffix(body(), vec(2))), 999), Hello{Version: v2}},
		"a name":                       {hello(named("Api.GitHub.com")), Hello{ServerName: "Api.GitHub.com", Version: v2}},
		"a name of one label":          {hello(named("registry")), Hello{ServerName: "registry", Version: v2}},
		"underscores and hyphens":      {hello(named("_a.b--c.x1")), Hello{ServerName: "_a.b--c.x1", Version: v2}},
		"the longest label":            {hello(named(strings.Repeat("a", 63))), Hello{ServerName: strings.Repeat("a", 63), Version: v2}},
		"protocols":                    {hello(ext(16, vec(2, vec(1, "h2"), vec(1, "\x0a\x0a"), vec(1, "http/1.1")))), Hello{ALPN: []string{"h2", "\x0a\x0a", "http/1.1"}, Version: v2}},
		"TLS 1.3 among reserved ones":  {hello(ext(43, vec(1, "\xfa\xfa\x03\x03\x03\x04\x7f\x1c"))), Hello{Version: v3}},
		"TLS 1.1 alone":                {hello(ext(43, vec(1, "\x03\x02"))), Hello{Version: 0x0302}},
		"encrypted_client_hello":       {hello(named("public.example"), ext(0xfe0d, "\x00anything")), Hello{ServerName: "public.example", ECH: true, Version: v2}},
		"an empty one":                 {hello(ext(0xfe0d, "")), Hello{ECH: true, Version: v2}},
		"encrypted_server_name":        {hello(ext(0xffce, "x")), Hello{ECH: true, Version: v2}},
		"a draft of ECH":               {hello(ext(0xfe0a, "x")), Hello{ECH: true, Version: v2}},
		"extensions that nobody knows": {hello(ext(0x1a1a, ""), named("a.b"), ext(0xff01, "\x00"), ext(0x2a2a, "\x00")), Hello{ServerName: "a.b", Version: v2}},
	} {
		t.Run(name, func(t *testing.T) {
			for reading, wrap := range map[string]func(io.Reader) io.Reader{
				"at once":                 func(r io.Reader) io.Reader { return r },
				"byte by byte":            iotest.OneByteReader,
				"with the end at the end": iotest.DataErrReader,
			} {
				raw, got, err := Read(wrap(strings.NewReader(test.said)), limit)
				if err != nil || string(raw) != test.said {
					t.Errorf("%s: %v, %q", reading, err, raw)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%s: (-want +got):\n%s", reading, diff)
				}
			}
		})
	}
}

func TestReadLeavesWhatComesAfter(t *testing.T) {
	for _, size := range []int{1, 2, 3, 4, 5, 7, 64, maxFragment} {
		said := records(message(body(named("a.example"))), size)
		r := strings.NewReader(said + "\x14\x03\x03\x00\x01\x01")
		raw, h, err := Read(r, len(said))
		if err != nil || h.ServerName != "a.example" || string(raw) != said || r.Len() != 6 {
			t.Errorf("records of %d bytes: %+v, %v, %d bytes are left", size, h, err, r.Len())
		}
	}
}

func TestReadRefuses(t *testing.T) {
	good := message(body(named("a.example")))
	for sentence, test := range map[string]struct {
		said string
		err  error
	}{
		"HTTP":                          {"G", ErrNotTLS},
		"SSL 2.0":                       {"\x80", ErrNotTLS},
		"SOCKS":                         {"\x05", ErrNotTLS},
		"SSH, that begins with a line":  {"SSH-2.0-x\r\n", ErrNotTLS},
		"another version of records":    {"\x16\x02", ErrNotTLS},
		"DTLS":                          {"\x16\xfe", ErrNotTLS},
		"an alert":                      {"\x15", ErrNotTLS},
		"an empty record":               {"\x16\x03\x01\x00\x00" + records(good, 999), ErrMalformed},
		"an empty record amid":          {records(good[:9], 999) + "\x16\x03\x01\x00\x00" + records(good[9:], 999), ErrMalformed},
		"an alert amid":                 {records(good[:9], 999) + "\x15\x03\x01\x00\x02\x01\x00" + records(good[9:], 999), ErrMalformed},
		"another version amid":          {records(good[:9], 999) + "\x16\x02\x01" + vec(2, good[9:]), ErrMalformed},
		"a record of more than 2^14":    {"\x16\x03\x01\x40\x01", ErrMalformed},
		"a ServerHello":                 {"\x16\x03\x01\x00\x01\x02", ErrMalformed},
		"more data in the record":       {records(good+"\x01", 999), ErrMalformed},
		"two hellos in a record":        {records(good+good, 999), ErrMalformed},
		"a hello of 16 MiB":             {"\x16\x03\x01\x00\x04\x01\xff\xff\xff", ErrTooLong},
		"nothing":                       {"", io.ErrUnexpectedEOF},
		"half a header":                 {"\x16\x03\x01", io.ErrUnexpectedEOF},
		"an end between records":        {records(good[:9], 999), io.ErrUnexpectedEOF},
		"an end inside a record":        {records(good, 999)[:40], io.ErrUnexpectedEOF},
		"the same extension twice":      {hello(ext(5, "x"), ext(5, "x")), ErrMalformed},
		"two server_names":              {hello(named("a.b"), named("a.b")), ErrMalformed},
		"two reserved ones of a number": {hello(ext(0x1a1a, ""), ext(0x1a1a, "")), ErrMalformed},
	} {
		t.Run(sentence, func(t *testing.T) {
			raw, h, err := Read(strings.NewReader(test.said), limit)
			if !errors.Is(err, test.err) {
				t.Errorf("Read gave %v", err)
			}
			if diff := cmp.Diff(Hello{}, h); diff != "" || !strings.HasPrefix(test.said, string(raw)) {
				t.Errorf("%q, and a hello:\n%s", raw, diff)
			}
		})
	}
}

func TestReadRefusesBodies(t *testing.T) {
	const start = "\x03\x03" + random
	suites, null := vec(2, "\x13\x01"), vec(1, "\x00")
	for sentence, body := range map[string]string{
		"nothing":                           "",
		"a version and no more":             "\x03\x03",
		"a version before SSL 3.0":          "\x02\x00" + random + vec(1) + suites + null,
		"half a random":                     "\x03\x03" + random[:16],
		"a session id of 33 bytes":          start + vec(1, random, "x") + suites + null,
		"no cipher suites":                  start + vec(1) + vec(2) + null,
		"half a cipher suite":               start + vec(1) + vec(2, "\x13\x01\x13") + null,
		"no compression methods":            start + vec(1) + suites + vec(1),
		"only compression":                  start + vec(1) + suites + vec(1, "\x01"),
		"half a length of extensions":       start + vec(1) + suites + null + "\x00",
		"extensions that are cut off":       start + vec(1) + suites + null + "\x00\x05\x00",
		"data after the extensions":         body() + "\x00",
		"half an extension":                 body("\x00\x05\x00"),
		"an extension longer than the list": body("\x00\x05\x00\x02x"),
		"an empty list of protocols":        body(ext(16, vec(2))),
		"an empty protocol":                 body(ext(16, vec(2, vec(1), vec(1, "h2")))),
		"a protocol that is cut off":        body(ext(16, vec(2, "\x03h2"))),
		"data after the protocols":          body(ext(16, vec(2, vec(1, "h2"))+"x")),
		"no versions":                       body(ext(43, vec(1))),
		"half a version":                    body(ext(43, vec(1, "\x03\x04\x03"))),
		"only versions nobody knows":        body(ext(43, vec(1, "\x0a\x0a\x7f\x1c"))),
		"data after the versions":           body(ext(43, vec(1, "\x03\x04")+"x")),
		"an empty server_name":              body(ext(0, "")),
		"an empty list of names":            body(ext(0, vec(2))),
		"data after the list of names":      body(ext(0, vec(2, "\x00"+vec(2, "a.b"))+"x")),
	} {
		_, h, err := Read(strings.NewReader(records(message(body), maxFragment)), limit)
		if !errors.Is(err, ErrMalformed) || !cmp.Equal(h, Hello{}) {
			t.Errorf("%s: %+v, %v", sentence, h, err)
		}
	}
}

func TestReadRefusesServerNames(t *testing.T) {
	one := "\x00" + vec(2, "a.example")
	for sentence, list := range map[string]string{
		"two names":                  one + "\x00" + vec(2, "b.example"),
		"a name twice":               one + one,
		"a name and another type":    one + "\x01" + vec(2, "b.example"),
		"another type and a name":    "\x01" + vec(2, "b.example") + one,
		"another type alone":         "\x01" + vec(2, "b.example"),
		"a name that is cut off":     "\x00\x00\x10a.example",
		"a name and a byte":          one + "\x00",
		"an empty name":              "\x00" + vec(2),
		"a type and no name":         "\x00",
		"NUL":                        "\x00" + vec(2, "a.example\x00.b.example"),
		"a space":                    "\x00" + vec(2, "a .example"),
		"a line end":                 "\x00" + vec(2, "a.example\n"),
		"a port":                     "\x00" + vec(2, "a.example:443"),
		"a slash":                    "\x00" + vec(2, "a.example/x"),
		"an asterisk":                "\x00" + vec(2, "*.example"),
		"UTF-8":                      "\x00" + vec(2, "bücher.example"),
		"no UTF-8":                   "\x00" + vec(2, "a\xff.example"),
		"a dot at the end":           "\x00" + vec(2, "a.example."),
		"a dot at the beginning":     "\x00" + vec(2, ".example"),
		"two dots":                   "\x00" + vec(2, "a..example"),
		"a dot alone":                "\x00" + vec(2, "."),
		"a label of 64":              "\x00" + vec(2, strings.Repeat("a", 64)),
		"a name of 254":              "\x00" + vec(2, strings.Repeat("a.", 126)+"aa"),
		"IPv4":                       "\x00" + vec(2, "192.0.2.1"),
		"IPv4 in hexadecimal":        "\x00" + vec(2, "0xC0.0.2.0X1"),
		"IPv4 as one number":         "\x00" + vec(2, "3221225985"),
		"a number at the end":        "\x00" + vec(2, "a.example.1"),
		"an empty hexadecimal one":   "\x00" + vec(2, "a.0x"),
		"IPv6":                       "\x00" + vec(2, "2001:db8::1"),
		"IPv6 in brackets":           "\x00" + vec(2, "[2001:db8::1]"),
		"IPv6 with a zone":           "\x00" + vec(2, "fe80::1%eth0"),
		"IPv4 in IPv6, without dots": "\x00" + vec(2, "::ffff:c000:201"),
	} {
		_, h, err := Read(strings.NewReader(hello(ext(0, vec(2, list)))), limit)
		if !errors.Is(err, ErrServerName) || !errors.Is(err, ErrMalformed) || !cmp.Equal(h, Hello{}) {
			t.Errorf("%s: %+v, %v", sentence, h, err)
		}
	}
}

func TestReadKeepsToItsLimit(t *testing.T) {
	for _, size := range []int{1, 50, maxFragment} {
		said := records(message(body(ext(21, strings.Repeat("\x00", 300)))), size)
		for n := range len(said) {
			r := strings.NewReader(said)
			raw, _, err := Read(r, n)
			if err != ErrTooLong || len(raw) > n || len(said)-r.Len() != len(raw) {
				t.Fatalf("records of %d bytes, limit %d: read %d, %v", size, n, len(raw), err)
			}
		}
	}
	if raw, _, err := Read(iotest.ErrReader(io.ErrClosedPipe), -1); err != ErrTooLong || len(raw) > 0 {
		t.Errorf("no limit at all: %v", err)
	}
}

// A stream that goes on for ever would be read for ever if only the end were looked for.
func TestReadGivesUp(t *testing.T) {
	for sentence, test := range map[string]struct {
		more io.Reader
		err  error
	}{
		"a reader that is broken":       {iotest.ErrReader(io.ErrClosedPipe), io.ErrClosedPipe},
		"a reader that returns nothing": {idle{}, io.ErrNoProgress},
	} {
		raw, _, err := Read(io.MultiReader(strings.NewReader("\x16\x03\x01\x00\xff"), test.more), limit)
		if err != test.err || !bytes.Equal(raw, []byte("\x16\x03\x01\x00\xff")) {
			t.Errorf("%s: %q, %v", sentence, raw, err)
		}
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestLooksLike(t *testing.T) {
	for first, want := range map[string]bool{
		"": false, "\x16": true, "\x16\x03": true, "\x16\x03\x01": true, "\x16\x03\x01\x02\x00\x01": true,
		"\x16\x02": false, "\x15\x03": false, "\x05": false, "\x80\x2e\x01": false, "GET / ": false, "\x00": false,
	} {
		if got := LooksLike([]byte(first)); got != want {
			t.Errorf("%q: %v", first, got)
		}
	}
}
