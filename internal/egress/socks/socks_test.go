package socks

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/proxy"
)

// A client says what it has to say and hears the answers.
type client struct {
	io.Reader
	heard bytes.Buffer
}

func (c *client) Write(p []byte) (int, error) { return c.heard.Write(p) }

const (
	greeting = "\x05\x01\x00"
	connectV = "\x05\x01\x00"
	welcome  = "\x05\x00"
)

// answer is what Reply writes.
func answer(code Code) string {
	return "\x05" + string(rune(code)) + "\x00\x01\x00\x00\x00\x00\x00\x00"
}

type asked struct {
	Host string
	Port uint16
}

func TestAcceptReadsOneRequest(t *testing.T) {
	long := strings.Repeat("a", 255)
	for name, test := range map[string]struct {
		said string
		want asked
	}{
		"a name (socks5h)":             {greeting + connectV + "\x03\x0eapi.github.com\x01\xbb", asked{"api.github.com", 443}},
		"the longest name":             {greeting + connectV + "\x03\xff" + long + "\x00\x50", asked{long, 80}},
		"a name is not changed":        {greeting + connectV + "\x03\x06A_b.C.\xff\xff", asked{"A_b.C.", 65535}},
		"a name that is an address":    {greeting + connectV + "\x03\x03::1\x00\x16", asked{"::1", 22}},
		"an IPv4 address":              {greeting + connectV + "\x01\xc0\x00\x02\x01\x01\xbb", asked{"192.0.2.1", 443}},
		"an IPv6 address":              {greeting + connectV + "\x04\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01\x01\xbb", asked{"2001:db8::1", 443}},
		"IPv4 in IPv6":                 {greeting + connectV + "\x04" + strings.Repeat("\x00", 10) + "\xff\xff\xc0\x00\x02\x01\x01\xbb", asked{"::ffff:192.0.2.1", 443}},
		"a client with a password too": {"\x05\x03\x02\x01\x00" + connectV + "\x03\x01a\x00\x01", asked{"a", 1}},
	} {
		t.Run(name, func(t *testing.T) {
			for reading, wrap := range map[string]func(io.Reader) io.Reader{
				"at once":      func(r io.Reader) io.Reader { return r },
				"byte by byte": iotest.OneByteReader,
			} {
				rest := strings.NewReader(test.said + "and more")
				c := &client{Reader: wrap(rest)}
				host, port, err := Accept(c)
				if diff := cmp.Diff(test.want, asked{host, port}); err != nil || diff != "" {
					t.Errorf("%s: %v (-want +got):\n%s", reading, err, diff)
				}
				if c.heard.String() != welcome {
					t.Errorf("%s: the client heard %q", reading, c.heard.String())
				}
				if rest.Len() != len("and more") {
					t.Errorf("%s: %d bytes are left, which are not all that came after the request", reading, rest.Len())
				}
			}
		})
	}
}

func TestAcceptRefuses(t *testing.T) {
	const name = "\x03\x01a\x01\xbb"
	for sentence, test := range map[string]struct {
		said  string
		err   error
		heard string
	}{
		"SOCKS 4, without a word":         {"\x04\x01\x01\xbb\xc0\x00\x02\x01\x00", ErrVersion, ""},
		"HTTP, without a word":            {"CONNECT a:443 HTTP/1.1\r\n\r\n", ErrVersion, ""},
		"no methods at all":               {"\x05\x00", ErrMethod, "\x05\xff"},
		"only a password":                 {"\x05\x01\x02", ErrMethod, "\x05\xff"},
		"only GSSAPI and a password":      {"\x05\x02\x01\x02", ErrMethod, "\x05\xff"},
		"BIND":                            {greeting + "\x05\x02\x00" + name, ErrCommand, welcome + answer(CommandNotSupported)},
		"UDP ASSOCIATE":                   {greeting + "\x05\x03\x00" + name, ErrCommand, welcome + answer(CommandNotSupported)},
		"no command":                      {greeting + "\x05\x00\x00" + name, ErrCommand, welcome + answer(CommandNotSupported)},
		"Tor's command RESOLVE":           {greeting + "\x05\xf0\x00" + name, ErrCommand, welcome + answer(CommandNotSupported)},
		"an unknown address type":         {greeting + "\x05\x01\x00\x02\x01", ErrAddressType, welcome + answer(AddressNotSupported)},
		"address type 0":                  {greeting + "\x05\x01\x00\x00", ErrAddressType, welcome + answer(AddressNotSupported)},
		"another version after greeting":  {greeting + "\x04\x01\x00" + name, ErrMalformed, welcome + answer(GeneralFailure)},
		"a reserved byte that is not 0":   {greeting + "\x05\x01\x01" + name, ErrMalformed, welcome + answer(GeneralFailure)},
		"an empty name":                   {greeting + connectV + "\x03\x00\x01\xbb", ErrMalformed, welcome + answer(GeneralFailure)},
		"a name with NUL":                 {greeting + connectV + "\x03\x03a\x00b\x01\xbb", ErrMalformed, welcome + answer(GeneralFailure)},
		"a name with a line end":          {greeting + connectV + "\x03\x03a\r\n\x01\xbb", ErrMalformed, welcome + answer(GeneralFailure)},
		"a name with a space":             {greeting + connectV + "\x03\x03a b\x01\xbb", ErrMalformed, welcome + answer(GeneralFailure)},
		"a name with DEL":                 {greeting + connectV + "\x03\x02a\x7f\x01\xbb", ErrMalformed, welcome + answer(GeneralFailure)},
		"a name with a no-break space":    {greeting + connectV + "\x03\x03a\u00a0\x01\xbb", ErrMalformed, welcome + answer(GeneralFailure)},
		"a name with a C1 control (CSI)":  {greeting + connectV + "\x03\x03a\u009b\x01\xbb", ErrMalformed, welcome + answer(GeneralFailure)},
		"BIND, whatever the name is like": {greeting + "\x05\x02\x00\x03\x00\x01\xbb", ErrCommand, welcome + answer(CommandNotSupported)},
	} {
		t.Run(sentence, func(t *testing.T) {
			c := &client{Reader: iotest.OneByteReader(strings.NewReader(test.said))}
			host, port, err := Accept(c)
			if !errors.Is(err, test.err) || host != "" || port != 0 {
				t.Errorf("Accept gave %q, %d, %v", host, port, err)
			}
			if diff := cmp.Diff(test.heard, c.heard.String()); diff != "" {
				t.Errorf("the client heard (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnEndInTheMidst(t *testing.T) {
	for _, said := range []string{
		greeting + connectV + "\x03\x04name\x01\xbb",
		greeting + connectV + "\x01\xc0\x00\x02\x01\x01\xbb",
		greeting + connectV + "\x04" + strings.Repeat("\x01", 16) + "\x01\xbb",
		greeting + "\x05\x02\x00\x01\xc0\x00\x02\x01\x01\xbb",
	} {
		for n := range len(said) {
			c := &client{Reader: strings.NewReader(said[:n])}
			if host, port, err := Accept(c); err != io.ErrUnexpectedEOF || host != "" || port != 0 {
				t.Errorf("%q: %q, %d, %v", said[:n], host, port, err)
			}
			if n < len(greeting) && c.heard.Len() > 0 || c.heard.Len() > len(welcome) {
				t.Errorf("%q: the client heard %q", said[:n], c.heard.String())
			}
		}
	}
}

func TestErrorsOfTheConnectionComeAsTheyAre(t *testing.T) {
	broken := errors.New("broken")
	c := &client{Reader: io.MultiReader(strings.NewReader(greeting+"\x05"), iotest.ErrReader(broken))}
	if _, _, err := Accept(c); err != broken {
		t.Error(err)
	}
	deaf := struct {
		io.Reader
		io.Writer
	}{strings.NewReader(greeting), failing{broken}}
	if _, _, err := Accept(deaf); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := Reply(failing{broken}, Succeeded); !errors.Is(err, broken) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// What another's client makes of our side.
func TestAnotherImplementationIsUnderstood(t *testing.T) {
	for name, test := range map[string]struct {
		code Code
		want string
	}{
		"connected":   {Succeeded, ""},
		"not allowed": {NotAllowed, "connection not allowed by ruleset"},
		"unreachable": {HostUnreachable, "host unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			dialer, err := proxy.SOCKS5("tcp", "proxy.invalid:1080", nil, already{theirs})
			if err != nil {
				t.Fatal(err)
			}
			got := make(chan error, 1)
			go func() {
				_, err := dialer.Dial("tcp", "api.github.com:443")
				theirs.Close()
				got <- err
			}()
			host, port, err := Accept(ours)
			if err != nil || host != "api.github.com" || port != 443 {
				t.Fatal(host, port, err)
			}
			if err := Reply(ours, test.code); err != nil && test.code == Succeeded { // a refused client reads no further
				t.Fatal(err)
			}
			if err := <-got; (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("the client says %v", err)
			}
		})
	}
}

// already is a dialer that has the connection.
type already struct{ conn net.Conn }

func (a already) Dial(string, string) (net.Conn, error) { return a.conn, nil }

func FuzzAccept(f *testing.F) {
	f.Add([]byte(greeting + connectV + "\x03\x04name\x01\xbbrest"))
	f.Add([]byte("\x05\x02\x02\x00" + connectV + "\x01\xc0\x00\x02\x01\x01\xbb"))
	f.Add([]byte(greeting + connectV + "\x04" + strings.Repeat("\x01", 16) + "\x01\xbb"))
	f.Add([]byte(greeting + "\x05\x02\x00\x01\xc0\x00\x02\x01\x01\xbb"))
	f.Add([]byte("\x04\x01\x01\xbb\xc0\x00\x02\x01\x00"))
	f.Fuzz(func(t *testing.T, said []byte) {
		rest := bytes.NewReader(said)
		c := &client{Reader: rest}
		host, port, err := Accept(c)
		read := said[:len(said)-rest.Len()]
		if err != nil {
			if host != "" || port != 0 {
				t.Fatalf("%q: an error and %q, %d", said, host, port)
			}
			return
		}
		if c.heard.String() != welcome {
			t.Fatalf("%q: accepted after %q", said, c.heard.String())
		}
		if host == "" || len(host) > 255 || strings.ContainsAny(host, "\x00\r\n\t \x7f") {
			t.Fatalf("%q: host %q", said, host)
		}
		request := read[2+int(read[1]):]
		if len(request) < 4 || request[0] != 5 || request[1] != 1 || request[2] != 0 {
			t.Fatalf("%q: accepted request %q", said, request)
		}
		size := map[byte]int{1: 4, 4: 16}[request[3]]
		if request[3] == 3 {
			size = 1 + int(request[4])
		}
		if len(request) != 4+size+2 {
			t.Fatalf("%q: read %d bytes of a request of %d", said, len(request), 4+size+2)
		}
	})
}
