package profile

import (
	"sort"
	"strconv"
	"strings"
)

// position is a place in a file, counted from 1.
type position struct{ line, col int }

// locate finds where each key, list item and row of a TOML document stands. The
// decoder keeps this to itself, and gives the same answer for every row of an
// array of tables. A mistake in here could only make a message point at the wrong
// line. The second result is where a key or value is nested deeper than any
// profile nests, nil if none is: the decoder's time grows with the square of that.
func locate(src string) (map[string]position, *position) {
	l := &locator{src: src, pos: map[string]position{}, rows: map[string]int{}}
	for i, c := range []byte(src) {
		if c == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	l.document()
	return l.pos, l.deep
}

// maxDepth bounds the parts of a key and the nesting of values.
const maxDepth = 8

type locator struct {
	src    string
	at     int
	starts []int // offsets of the second and later lines
	pos    map[string]position
	rows   map[string]int
	depth  int
	deep   *position
}

// tooDeep notes where that was and gives up on the rest of the file.
func (l *locator) tooDeep() {
	if l.deep == nil {
		at := l.place(min(l.at, len(l.src)))
		l.deep = &at
	}
	l.at = len(l.src)
}

func (l *locator) document() {
	prefix := ""
	for l.skip(" \t\r\n"); l.at < len(l.src); l.skip(" \t\r\n") {
		before := l.at
		if l.src[l.at] == '[' {
			prefix = l.header()
		} else {
			l.pair(prefix)
		}
		if l.at == before {
			l.at++
		}
	}
}

// header reads [a.b] or [[a.b]] and returns the path its keys stand under.
func (l *locator) header() string {
	start := l.at
	double := strings.HasPrefix(l.src[l.at:], "[[")
	l.at++
	if double {
		l.at++
	}
	path := ""
	keys := l.key()
	for i, k := range keys {
		path = join(path, k)
		last := i == len(keys)-1
		switch {
		case last && double:
			l.mark(path, start)
			path = index(path, l.rows[path])
			l.rows[path[:strings.LastIndexByte(path, '[')]]++
		case l.rows[path] > 0:
			path = index(path, l.rows[path]-1)
		}
	}
	l.mark(path, start)
	for l.at < len(l.src) && l.src[l.at] != '\n' && l.src[l.at] != '#' {
		l.at++
	}
	return path
}

func (l *locator) pair(prefix string) {
	start := l.at
	path := prefix
	for _, k := range l.key() {
		path = join(path, k)
		l.mark(path, start)
	}
	if l.at < len(l.src) && l.src[l.at] == '=' {
		l.at++
		l.skip(" \t")
		l.value(path)
	}
}

// key reads a dotted key up to the "=" or "]" after it.
func (l *locator) key() []string {
	var parts []string
	for l.at < len(l.src) {
		l.skip(" \t")
		start := l.at
		if l.at < len(l.src) && (l.src[l.at] == '"' || l.src[l.at] == '\'') {
			l.text()
			parts = append(parts, unquoteKey(l.src[start:l.at]))
		} else {
			for l.at < len(l.src) && !strings.ContainsRune(" \t.=]\r\n#", rune(l.src[l.at])) {
				l.at++
			}
			parts = append(parts, l.src[start:l.at])
		}
		l.skip(" \t")
		if l.at >= len(l.src) || l.src[l.at] != '.' {
			break
		}
		if len(parts) == maxDepth {
			l.tooDeep()
			break
		}
		l.at++
	}
	return parts
}

func (l *locator) value(path string) {
	if l.at >= len(l.src) {
		return
	}
	l.depth++
	defer func() { l.depth-- }()
	if l.depth > maxDepth {
		l.tooDeep()
		return
	}
	switch l.src[l.at] {
	case '"', '\'':
		l.text()
	case '[':
		l.at++
		for n := 0; l.more(']'); n++ {
			item := index(path, n)
			l.mark(item, l.at)
			l.value(item)
		}
	case '{':
		l.at++
		for l.more('}') {
			l.pair(path)
		}
	default:
		for l.at < len(l.src) && !strings.ContainsRune(",]}#\r\n", rune(l.src[l.at])) {
			l.at++
		}
	}
}

// more steps over what may stand between items, and over the closing bracket. It
// always leaves l.at further on, or at the end, or before an item.
func (l *locator) more(end byte) bool {
	l.skip(" \t\r\n,")
	if l.at >= len(l.src) {
		return false
	}
	if c := l.src[l.at]; c == ']' || c == '}' || c == '=' {
		l.at++
		return c != end && l.more(end)
	}
	return true
}

// text steps over a string of any of TOML's four kinds.
func (l *locator) text() {
	quote := l.src[l.at : l.at+1]
	long := strings.Repeat(quote, 3)
	end := quote
	if strings.HasPrefix(l.src[l.at:], long) {
		end = long
	}
	for l.at += len(end); l.at < len(l.src); l.at++ {
		if quote == `"` && l.src[l.at] == '\\' {
			l.at++
			continue
		}
		if strings.HasPrefix(l.src[l.at:], end) {
			l.at += len(end)
			// A long string may end in quotes of its own: """a""""".
			for n := 0; len(end) == 3 && n < 2 && strings.HasPrefix(l.src[l.at:], quote); n++ {
				l.at++
			}
			return
		}
	}
	l.at = len(l.src)
}

// skip steps over the given bytes and over comments.
func (l *locator) skip(set string) {
	for l.at < len(l.src) {
		switch {
		case strings.IndexByte(set, l.src[l.at]) >= 0:
			l.at++
		case l.src[l.at] == '#' && strings.Contains(set, "\n"):
			for l.at < len(l.src) && l.src[l.at] != '\n' {
				l.at++
			}
		default:
			return
		}
	}
}

func (l *locator) mark(path string, at int) {
	if _, ok := l.pos[path]; ok {
		return
	}
	l.pos[path] = l.place(at)
}

// place counts the line and column of an offset.
func (l *locator) place(at int) position {
	line := sort.SearchInts(l.starts, at+1)
	if line > 0 {
		at -= l.starts[line-1]
	}
	return position{line + 1, at + 1}
}

func join(path, key string) string {
	key = keyText(key)
	if path == "" {
		return key
	}
	return path + "." + key
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// keyText quotes a key that TOML could not take bare.
func keyText(key string) string {
	bare := func(r rune) bool {
		return r == '_' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if key != "" && strings.IndexFunc(key, func(r rune) bool { return !bare(r) }) < 0 {
		return key
	}
	return quote(key)
}

func unquoteKey(s string) string {
	if s[0] == '\'' || len(s) < 2 {
		return strings.Trim(s, "'")
	}
	if u, err := strconv.Unquote(s); err == nil {
		return u
	}
	return s[1 : len(s)-1]
}
