package scrub

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// A source gives one piece a Read, as far as there is room, and then its error.
type source struct {
	pieces []string
	err    error
}

func (s *source) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, s.err
	}
	if s.pieces[0] == "" {
		return 0, s.err
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

// read reads pieces through a Reader with room for so many bytes.
func read(t *testing.T, s *Set, pieces []string, room int) (string, []string) {
	t.Helper()
	var found []string
	r := s.NewReader(&source{slices.Clone(pieces), io.EOF}, func(name string) { found = append(found, name) })
	var out []byte
	p := make([]byte, room)
	for {
		n, err := r.Read(p)
		out = append(out, p[:n]...)
		if err == io.EOF {
			slices.Sort(found)
			return string(out), found
		}
		if err != nil || n == 0 {
			t.Fatalf("%d, %v", n, err)
		}
	}
}

// streams holds all that handles streams to what the reference does with the whole. The first bytes of an occurrence
// may have gone before more came.
func streams(t *testing.T, needles map[string][]string, pieces []string) {
	t.Helper()
	s := NewSet(needles)
	text := strings.Join(pieces, "")
	want, names := reference(needles, []byte(text))
	check := func(who, got string, found []string) {
		t.Helper()
		slices.Sort(found)
		if !slices.Equal(found, names) {
			t.Errorf("%s found %q, not %q", who, found, names)
		}
		if len(got) != len(want) {
			t.Fatalf("%s: %q, not %q", who, got, want)
		}
		passed := 0
		for i := range want {
			switch {
			case got[i] == want[i]:
				passed = 0
			case got[i] == text[i] && passed < atOnce:
				passed++
			default:
				t.Fatalf("%s: %q, not %q, at %d", who, got, want, i)
			}
		}
	}
	for _, room := range []int{1, 5, 512} {
		got, found := read(t, s, pieces, room)
		check("a Reader", got, found)
	}
	var written bytes.Buffer
	var found, seen []string
	w := s.NewWriter(&written, func(name string) { found = append(found, name) })
	watcher := s.Watch(func(name string) { seen = append(seen, name) })
	for _, p := range pieces {
		for _, to := range []io.Writer{w, watcher} {
			if n, err := io.WriteString(to, p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	check("a Writer", written.String(), found)
	check("a Watcher", string(want), seen)
	whole, found := read(t, s, []string{text}, len(text)+1)
	if check("a Reader of one piece", whole, found); whole != string(want) {
		t.Errorf("in one piece: %q, not %q", whole, want)
	}
}

// What each piece brings, before there is another.
func TestWhatIsHeldBack(t *testing.T) {
	for name, tc := range map[string]struct{ pieces, want []string }{
		"an event":                               {[]string{"data: x\n\n", "data: hunt\n\n"}, []string{"data: x\n\n", "data: hunt\n\n", ""}},
		"a secret in one piece":                  {[]string{"data: hunter22\n\n"}, []string{"data: ********\n\n", ""}},
		"a secret in two pieces":                 {[]string{"data: hunter", "22\n\n"}, []string{"data: ", "********\n\n", ""}},
		"the beginning of a secret, and no more": {[]string{"data: hunter", "s\n"}, []string{"data: ", "hunters\n", ""}},
		"the beginning of a secret at the end":   {[]string{"data: hunter"}, []string{"data: ", "hunter"}},
		"a message that ends in a letter":        {[]string{"much", "unter22", "hun", "ter22!"}, []string{"much", "*******", "hun", "*****!", ""}},
		"a secret that begins again":             {[]string{"hunterhunter", "22"}, []string{"hunter", "********", ""}},
		"two that overlap, in three pieces":      {[]string{"<hunter22", "and", "more>"}, []string{"<********", "", "*******>", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			var out bytes.Buffer
			w := NewSet(map[string][]string{"a": {"hunter22"}, "b": {"22andmore"}}).NewWriter(&out, nil)
			took := func(_ int, err error) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, out.String())
				out.Reset()
			}
			for _, p := range tc.pieces {
				took(io.WriteString(w, p))
			}
			took(0, w.Flush())
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAReadIsPassedThroughAtOnce(t *testing.T) {
	from, to := io.Pipe()
	defer from.Close()
	r := NewSet(map[string][]string{"a": Encodings("sk-ant-hunter22")}).NewReader(from, nil)
	p := make([]byte, 512)
	for _, event := range []string{"data: x\n\n", "data: a\n\n", "a"} {
		go func() { _, _ = io.WriteString(to, event) }()
		if n, err := r.Read(p); err != nil || string(p[:n]) != event {
			t.Errorf("%q, %v", p[:n], err)
		}
	}
}

func TestAReaderLosesNothingAtAnError(t *testing.T) {
	broken := errors.New("broken")
	s := NewSet(map[string][]string{"a": {"hunter22"}})
	got, err := io.ReadAll(s.NewReader(&source{[]string{"x hunter22 hunter"}, broken}, nil))
	if string(got) != "x ******** hunter" || !errors.Is(err, broken) {
		t.Errorf("%q, %v", got, err)
	}
	got, err = io.ReadAll(s.NewReader(iotest.DataErrReader(strings.NewReader("hunter22 hunter")), nil))
	if string(got) != "******** hunter" || err != nil {
		t.Errorf("with the last bytes: %q, %v", got, err)
	}
}

func TestAWriterStopsAtAnError(t *testing.T) {
	from, to := io.Pipe()
	_ = from.Close()
	w := NewSet(map[string][]string{"a": {"hunter22"}}).NewWriter(to, nil)
	if n, err := io.WriteString(w, "x"); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%d, %v", n, err)
	}
	if err := w.Flush(); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func TestEachNameIsToldOnce(t *testing.T) {
	var found []string
	w := NewSet(map[string][]string{"b": {"hunter22"}, "a": {"12345678"}}).Watch(func(name string) { found = append(found, name) })
	for _, p := range []string{"hunter22hun", "ter22", "1234", "5678", "hunter22"} {
		_, _ = io.WriteString(w, p)
	}
	if diff := cmp.Diff([]string{"b", "a"}, found); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkStreams(b *testing.B) {
	s, text := benchmarkSet(), benchmarkText()
	b.Run("Reader", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		p := make([]byte, 32<<10)
		for b.Loop() {
			r := s.NewReader(bytes.NewReader(text), nil)
			for {
				if _, err := r.Read(p); err != nil {
					break
				}
			}
		}
	})
	b.Run("Watcher", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			w := s.Watch(nil)
			for rest := text; len(rest) > 0; rest = rest[min(len(rest), 32<<10):] {
				_, _ = w.Write(rest[:min(len(rest), 32<<10)])
			}
		}
	})
	b.Run("Reader of one event", func(b *testing.B) {
		event := text[:bytes.IndexByte(text, '\n')+2]
		from := bytes.NewReader(event)
		r := s.NewReader(from, nil)
		p := make([]byte, 32<<10)
		b.SetBytes(int64(len(event)))
		for b.Loop() {
			from.Reset(event)
			if _, err := r.Read(p); err != nil {
				b.Fatal(err)
			}
		}
	})
}
