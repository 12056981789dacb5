package hello

// A cursor reads fields one after another. After the first that does not fit there is nothing left to read, and err
// stays; so it is enough to look at err once, before what was read is used.
type cursor struct {
	rest []byte
	err  error
}

// take reads n bytes; nil if there are fewer.
func (c *cursor) take(what string, n int) []byte {
	if n > len(c.rest) {
		c.fail("%s: the data is cut off", what)
		return nil
	}
	field := c.rest[:n]
	c.rest = c.rest[n:]
	return field
}

// number reads a number of so many bytes, the most significant first.
func (c *cursor) number(what string, width int) int {
	n := 0
	for _, b := range c.take(what, width) {
		n = n<<8 | int(b)
	}
	return n
}

// vector reads a length of so many bytes and as many bytes as it says; see RFC 8446, section 3.4.
func (c *cursor) vector(what string, width, least, most int) []byte {
	n := c.number(what, width)
	if n < least || n > most {
		c.fail("%s: a length of %d", what, n)
	}
	return c.take(what, n)
}

// end asserts that everything was read.
func (c *cursor) end(what string) error {
	if len(c.rest) > 0 {
		c.fail("%s: more data after it", what)
	}
	return c.err
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = malformed(format, args...)
	}
	c.rest = nil
}
