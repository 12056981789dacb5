package meter

import (
	"encoding/json"
	"strings"
)

// Bounds of what a scanner holds. What is looked for lies within them; what lies beyond is passed over.
const (
	maxText  = 256   // of a string, a number or a key
	maxPath  = 12    // levels whose names are kept
	maxDepth = 10000 // levels at all, as in encoding/json
)

// A kind is a sort of thing in JSON.
type kind byte

const (
	kindKey    kind = 'k'
	kindString kind = 's'
	kindWord   kind = 'w' // a number, true, false, null
	kindOpen   kind = '{' // an object or an array begins
)

// A scanner reads a JSON text in pieces and tells what it comes by, with the path to it: "usage.input_tokens",
// "output.[].type". It holds one name or number at a time. It is no validator: of a text that is not JSON it tells anything.
type scanner struct {
	// tell gets what was found: of a string the first maxText bytes. Neither slice outlives the call.
	tell func(path []byte, k kind, text []byte)

	state  scanState
	frames []frame
	path   []byte
	text   []byte
	escape bool // the string has an escape in it
	over   bool // the string did not fit
	done   bool // the text is complete
	broken bool // it is too deep
}

type scanState uint8

const (
	between scanState = iota
	inString
	inEscape
	inWord
)

// A frame is an open object or array.
type frame struct {
	object bool
	key    bool // a key comes next
	base   int  // length of the path to it
}

// reset makes the scanner ready for the next text.
func (s *scanner) reset() {
	s.state, s.frames, s.path, s.text = between, s.frames[:0], s.path[:0], s.text[:0]
	s.escape, s.over, s.done, s.broken = false, false, false, false
}

// write reads the next bytes.
func (s *scanner) write(p []byte) {
	for len(p) > 0 && !s.done && !s.broken {
		if s.state == inString { // most of a text is in its strings
			run := 0
			for run < len(p) && p[run] != '"' && p[run] != '\\' {
				run++
			}
			kept := min(run, maxText-len(s.text))
			s.text = append(s.text, p[:kept]...)
			s.over = s.over || kept < run
			if p = p[run:]; len(p) == 0 {
				return
			}
		}
		s.next(p[0])
		p = p[1:]
	}
}

// next reads one byte.
func (s *scanner) next(c byte) {
	switch s.state {
	case inString:
		switch c {
		case '"':
			s.endString()
			return
		case '\\':
			s.state, s.escape = inEscape, true
		}
		s.keep(c)
	case inEscape:
		s.state = inString
		s.keep(c)
	case inWord:
		if strings.IndexByte(" \t\r\n,:{}[]\"", c) < 0 {
			s.keep(c)
			return
		}
		s.endWord()
		if !s.done {
			s.between(c)
		}
	default:
		s.between(c)
	}
}

// end says that there are no more bytes: a number at the end of the text is over now.
func (s *scanner) end() {
	if s.state == inWord && len(s.frames) == 0 && !s.done && !s.broken {
		s.endWord()
	}
}

func (s *scanner) between(c byte) {
	switch c {
	case ' ', '\t', '\r', '\n', ':':
	case ',':
		if n := len(s.frames); n > 0 {
			s.frames[n-1].key = s.frames[n-1].object
		}
	case '"':
		s.state, s.text, s.escape, s.over = inString, s.text[:0], false, false
	case '{', '[':
		s.open(c == '{')
	case '}', ']':
		s.close()
	default:
		s.state, s.text, s.over = inWord, s.text[:0], false
		s.keep(c)
	}
}

func (s *scanner) keep(c byte) {
	if len(s.text) == maxText {
		s.over = true
		return
	}
	s.text = append(s.text, c)
}

func (s *scanner) open(object bool) {
	s.found(kindOpen, nil)
	if len(s.frames) == maxDepth {
		s.broken = true
		return
	}
	s.frames = append(s.frames, frame{object: object, key: object, base: len(s.path)})
	if !object {
		s.step([]byte("[]"))
	}
}

func (s *scanner) close() {
	n := len(s.frames)
	if n == 0 {
		s.broken = true
		return
	}
	s.path = s.path[:s.frames[n-1].base]
	s.frames = s.frames[:n-1]
	s.value()
}

// step makes name the last part of the path. A dot in it must not look like two names.
func (s *scanner) step(name []byte) {
	n := len(s.frames)
	if n > maxPath {
		return
	}
	s.path = s.path[:s.frames[n-1].base]
	if n > 1 {
		s.path = append(s.path, '.')
	}
	for _, c := range name {
		if c == '.' {
			c = 0
		}
		s.path = append(s.path, c)
	}
}

func (s *scanner) endString() {
	s.state = between
	text := s.text
	if s.escape && !s.over {
		var plain string
		if json.Unmarshal(append(append([]byte{'"'}, text...), '"'), &plain) == nil {
			text = []byte(plain)
		}
	}
	n := len(s.frames)
	if n == 0 || !s.frames[n-1].key {
		s.found(kindString, text)
		s.value()
		return
	}
	s.frames[n-1].key = false
	s.step(text)
	s.found(kindKey, nil)
}

func (s *scanner) endWord() {
	s.state = between
	s.found(kindWord, s.text)
	s.value()
}

// value says that a value is over.
func (s *scanner) value() { s.done = len(s.frames) == 0 }

func (s *scanner) found(k kind, text []byte) {
	if len(s.frames) <= maxPath {
		s.tell(s.path, k, text)
	}
}
