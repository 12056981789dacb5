package meter

import "bytes"

// An eventStream takes the data of server-sent events out of a stream, as the WHATWG specification reads it: lines end in
// CR, LF or CRLF, a BOM at the start and comments are passed over, the data of several lines is joined by LF. Lines and
// events may have any length: their bytes are passed on as they come.
type eventStream struct {
	data func(p []byte) // a piece of the data of an event
	end  func()         // the event is over

	place   place
	bom     int    // bytes of a BOM at the start; -1 past the start
	name    []byte // of the field, as far as it may be "data"
	afterCR bool   // an LF that comes next belongs to it
	any     bool   // the event has data
}

// A place is where in a line the stream stands.
type place uint8

const (
	inName place = iota
	atValue
	inValue
	inOther
)

const (
	bom       = "\xef\xbb\xbf"
	fieldData = "data"
)

// write reads the next bytes.
func (s *eventStream) write(p []byte) {
	for len(p) > 0 && s.bom >= 0 {
		if p[0] == bom[s.bom] {
			p = p[1:]
			if s.bom++; s.bom == len(bom) {
				s.bom = -1
			}
			continue
		}
		began := s.bom
		s.bom = -1
		for i := range began {
			s.byte(bom[i])
		}
	}
	for len(p) > 0 {
		if s.place == inValue {
			run := bytes.IndexAny(p, "\r\n")
			if run < 0 {
				run = len(p)
			}
			if run > 0 {
				s.afterCR = false
				s.data(p[:run])
			}
			if p = p[run:]; len(p) == 0 {
				return
			}
		}
		s.byte(p[0])
		p = p[1:]
	}
}

func (s *eventStream) byte(c byte) {
	crlf := s.afterCR && c == '\n'
	s.afterCR = c == '\r'
	switch {
	case crlf:
	case c == '\r' || c == '\n':
		s.endLine()
	case s.place == inName && c != ':':
		if len(s.name) <= len(fieldData) {
			s.name = append(s.name, c)
		}
	case s.place == inName:
		s.place = inOther
		if string(s.name) == fieldData {
			s.place = atValue
			s.line()
		}
	case s.place == atValue:
		s.place = inValue
		if c != ' ' {
			s.data([]byte{c})
		}
	}
}

// line begins a line of data.
func (s *eventStream) line() {
	if s.any {
		s.data([]byte{'\n'})
	}
	s.any = true
}

func (s *eventStream) endLine() {
	if s.place == inName {
		switch string(s.name) {
		case "":
			s.flush()
		case fieldData: // a field without a colon has an empty value
			s.line()
		}
	}
	s.place, s.name = inName, s.name[:0]
}

// flush ends the event if there is one. The specification drops an event that the end of the stream cuts off; what it says
// was used was used nonetheless.
func (s *eventStream) flush() {
	if s.any {
		s.any = false
		s.end()
	}
}

// finish says that there are no more bytes.
func (s *eventStream) finish() {
	s.endLine()
	s.flush()
}
