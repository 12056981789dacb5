package hello

import (
	"bytes"
	"strings"
)

// Extensions that are looked into; see RFC 6066, RFC 7301 and RFC 8446, section 4.2.1.
const (
	extServerName        = 0
	extALPN              = 16
	extSupportedVersions = 43
)

// extECH are the numbers of encrypted_client_hello (draft-ietf-tls-esni), of its drafts, and of encrypted_server_name before it.
var extECH = map[uint16]bool{
	0xfe0d: true, 0xffce: true, 0xff02: true, 0xfe08: true, 0xfe09: true, 0xfe0a: true, 0xfe0b: true, 0xfe0c: true,
}

// parse reads the body of a ClientHello; see RFC 8446, section 4.1.2, and RFC 5246, section 7.4.1.2.
func parse(body []byte) (Hello, error) {
	c := cursor{rest: body}
	h := Hello{Version: uint16(c.number("version", 2))}
	c.take("random", 32)
	c.vector("session id", 1, 0, 32)
	suites := c.vector("cipher suites", 2, 2, 0xfffe)
	compression := c.vector("compression methods", 1, 1, 0xff)
	var extensions []byte
	if len(c.rest) > 0 { // clients from before TLS 1.2 may leave them out
		extensions = c.vector("extensions", 2, 0, 0xffff)
	}
	switch {
	case c.end("extensions") != nil:
		return Hello{}, c.err
	case h.Version>>8 != majorVersion:
		return Hello{}, malformed("version %#04x", h.Version)
	case len(suites)%2 != 0:
		return Hello{}, malformed("half a cipher suite")
	case bytes.IndexByte(compression, 0) < 0:
		return Hello{}, malformed("no null compression")
	}
	return h, h.extensions(extensions)
}

// extensions reads a list of extensions, none of which may come twice.
func (h *Hello) extensions(list []byte) error {
	c := cursor{rest: list}
	seen := map[uint16]bool{}
	for len(c.rest) > 0 {
		kind := uint16(c.number("extension", 2))
		data := c.vector("extension", 2, 0, 0xffff)
		if c.err != nil {
			return c.err
		}
		if seen[kind] {
			return malformed("extension %d comes twice", kind)
		}
		seen[kind] = true
		if err := h.extension(kind, data); err != nil {
			return err
		}
	}
	return nil
}

func (h *Hello) extension(kind uint16, data []byte) (err error) {
	switch {
	case kind == extServerName:
		h.ServerName, err = serverName(data)
	case kind == extALPN:
		h.ALPN, err = protocols(data)
	case kind == extSupportedVersions:
		h.Version, err = newest(data)
	case extECH[kind]:
		h.ECH = true
	}
	return err
}

// serverName reads a list that must hold one name, of the one type there is (RFC 6066, section 3).
func serverName(data []byte) (string, error) {
	c := cursor{rest: data}
	list := cursor{rest: c.vector("server_name", 2, 1, 0xffff)}
	if c.end("server_name") != nil {
		return "", c.err
	}
	kind := list.number("server_name", 1)
	name := string(list.vector("server_name", 2, 1, 0xffff))
	if list.end("server_name") != nil || kind != 0 || !isName(name) {
		return "", ErrServerName
	}
	return name, nil
}

// isName reports a DNS name in text, without a trailing dot. A name whose last label is a number is an IPv4 address to
// some readers (inet_aton(3), the URL standard), and an address is not to be sent as a name.
func isName(name string) bool {
	if len(name) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, foreign) {
			return false
		}
		last = strings.ToLower(label)
	}
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") != ""
	}
	return strings.Trim(last, "0123456789") != ""
}

// foreign reports what is in no host's name. Underscores are in some, though RFC 1123 forbids them.
func foreign(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// protocols reads the names of ALPN (RFC 7301, section 3.1).
func protocols(data []byte) ([]string, error) {
	c := cursor{rest: data}
	list := cursor{rest: c.vector("ALPN", 2, 2, 0xffff)}
	if c.end("ALPN") != nil {
		return nil, c.err
	}
	var names []string
	for len(list.rest) > 0 {
		names = append(names, string(list.vector("ALPN", 1, 1, 0xff)))
	}
	return names, list.err
}

// newest reads supported_versions. The reserved values that clients mix in (RFC 8701) are no versions.
func newest(data []byte) (uint16, error) {
	c := cursor{rest: data}
	list := cursor{rest: c.vector("supported_versions", 1, 2, 254)}
	if c.end("supported_versions") != nil {
		return 0, c.err
	}
	var version uint16
	for len(list.rest) > 0 {
		if v := uint16(list.number("supported_versions", 2)); v>>8 == majorVersion {
			version = max(version, v)
		}
	}
	if list.err == nil && version == 0 {
		return 0, malformed("supported_versions has none")
	}
	return version, list.err
}
