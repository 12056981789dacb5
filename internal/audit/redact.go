package audit

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// A Redactor cuts secrets out of records before they are hashed: values that it was told, also in base64, in
// hexadecimal and with URL or JSON escapes, and what has the shape of a token. It cannot know a secret that it was not
// told and that looks like nothing in particular, nor one that was split, encrypted or compressed. The zero value knows
// the shapes. Its methods may be called concurrently.
type Redactor struct {
	mu     sync.Mutex
	values []string // every form of every secret, longest first
	now    atomic.Pointer[redaction]
}

// Format prints no secret, whatever the verb.
func (r *Redactor) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("redactor")) }

const (
	// shortest is the length below which a value is too common to be searched for.
	shortest = 6
	redacted = "[redacted]"
)

// Add tells the redactor a secret. One of fewer than six bytes is ignored: it would be found everywhere.
func (r *Redactor) Add(secret string) {
	if len(secret) < shortest {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, form := range forms(secret) {
		if !slices.Contains(r.values, form) {
			r.values = append(r.values, form)
		}
	}
	slices.SortStableFunc(r.values, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	r.now.Store(newRedaction(slices.Clone(r.values)))
}

// forms are the ways in which a secret is likely to show.
func forms(secret string) []string {
	out := []string{secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
	for _, kept := range unreserved {
		path := percent(secret, kept)
		query := strings.ReplaceAll(path, "%20", "+")
		out = append(out, path, query, lowerEscapes(path), lowerEscapes(query))
	}
	quoted := string(appendText(nil, secret))
	out = append(out, quoted[1:len(quoted)-1], strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(secret))
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 { // how many bytes of its group precede it
			text := e.EncodeToString(append(make([]byte, before), secret...))
			out = append(out, text[(before*8+5)/6:(before+len(secret))*8/6])
		}
	}
	return out
}

// unreserved are what the ways of escaping a URL leave as it is beside letters and digits: RFC 3986 §2.3,
// encodeURIComponent, Go's url.PathEscape, the pchar of RFC 3986 §3.3, and HTML forms.
var unreserved = [...]string{"-_.~", "-_.~!*'()", "-_.~$&+=:@", "-_.~!$&'()*+,;=:@", "-_.*"}

func percent(s, unreserved string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; alphanumeric(c) || strings.IndexByte(unreserved, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], strings.ToLower(s[i+1:i+3]))
			i += 2
		}
	}
	return string(b)
}

// Redact returns s without the secrets, as a record would have it.
func (r *Redactor) Redact(s string) string { return r.redact(s) }

// redact returns s without its secrets. Most texts have nothing of the kind, which one pass finds out.
func (r *Redactor) redact(s string) string {
	now := r.now.Load()
	if now == nil {
		r.mu.Lock()
		if now = r.now.Load(); now == nil {
			now = newRedaction(nil)
			r.now.Store(now)
		}
		r.mu.Unlock()
	}
	if at, _ := now.any.next(s, 0); at < 0 {
		return s
	}
	s = now.values.replace(s, now.told)
	s = now.known.replace(s, tryShape)
	return now.named.replace(s, tryShape)
}

// A redaction is the state of a Redactor, which does not change. Values go first, and what is known by its form before
// what only its name tells: otherwise the end of the one could be mistaken for the end of the other.
type redaction struct {
	list                      []string
	any, values, known, named marks
}

func newRedaction(values []string) *redaction {
	r := &redaction{list: values}
	for i, v := range values {
		r.any.add(v, i)
		r.values.add(v, i)
	}
	for i, s := range shapes {
		r.any.add(s.mark, i)
		if s.fold && s.name != "private-key" || s.name == "url-password" {
			r.named.add(s.mark, i)
		} else {
			r.known.add(s.mark, i)
		}
	}
	return r
}

func (r *redaction) told(s string, at, i int) (from, to int, instead string) {
	if !strings.HasPrefix(s[at:], r.list[i]) {
		return 0, 0, ""
	}
	return at, at + len(r.list[i]), redacted
}

func tryShape(s string, at, i int) (from, to int, instead string) {
	sh := &shapes[i]
	if !sh.marks(s[at:]) {
		return 0, 0, ""
	}
	from, to = sh.cut(s, at)
	return from, to, "[redacted:" + sh.name + "]"
}

// marks finds the places in a text at which one of many words may begin, by the word's first three bytes.
type marks struct {
	seen [1 << 14 / 64]uint64 // a few more than there are
	of   map[uint32][]int
}

// fold makes lower case of letters, and confuses some other bytes, which costs only time.
func fold(c byte) uint32 { return uint32(c | 0x20) }

func slot(group uint32) (word, bit uint32) {
	h := group * 0x9e3779b1 >> 18
	return h >> 6, h & 63
}

func (m *marks) add(mark string, i int) {
	group := fold(mark[0])<<16 | fold(mark[1])<<8 | fold(mark[2])
	word, bit := slot(group)
	m.seen[word] |= 1 << bit
	if m.of == nil {
		m.of = map[uint32][]int{}
	}
	m.of[group] = append(m.of[group], i)
}

// next is the first such place at or after from, and what may begin there; -1 when there is none.
func (m *marks) next(s string, from int) (at int, what []int) {
	var group uint32
	for i := from; i < len(s); i++ {
		group = group<<8&0xffffff | fold(s[i])
		word, bit := slot(group)
		if m.seen[word]&(1<<bit) == 0 || i < from+2 {
			continue
		}
		if what := m.of[group]; what != nil {
			return i - 2, what
		}
	}
	return -1, nil
}

// replace puts something else where try finds a secret.
func (m *marks) replace(s string, try func(s string, at, i int) (from, to int, instead string)) string {
	var b strings.Builder
	done := 0
	for at, what := m.next(s, 0); at >= 0; at, what = m.next(s, at) {
		next := at + 1
		for _, i := range what {
			if from, to, instead := try(s, at, i); from >= done && to > from {
				b.WriteString(s[done:from])
				b.WriteString(instead)
				done, next = to, to
				break
			}
		}
		at = next
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}
