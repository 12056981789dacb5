package audit

import "strings"

// What is cut must be no more than the secret: whoever writes a command could hide the rest of it behind one. So a value
// ends where a shell's syntax begins, and one word is cut, not the line.

// minValue is how long a value must be at least that only its name tells to be secret.
const minValue = 6

// findPEM cuts a private key from the line that begins it to the one that ends it, or as far as it goes.
func findPEM(s string, at int) (from, to int) {
	label := s[at+len("-----begin "):]
	end := strings.Index(label, "-----")
	if end < 0 || end > 64 || !strings.Contains(strings.ToUpper(label[:end]), "PRIVATE KEY") {
		return 0, 0
	}
	body := len(s) - len(label) + end + len("-----")
	to = span(s, body, func(c byte) bool { return base64Char(c) || strings.IndexByte(" \t\r\n\\:,", c) >= 0 })
	if last := strings.Index(s[body:to], "-----END "); last >= 0 {
		last += body + len("-----END ")
		if end := strings.Index(s[last:to], "-----"); end >= 0 {
			return at, last + end + len("-----")
		}
	}
	return at, to
}

// findJWT cuts three parts with dots between, the last of which may be empty.
func findJWT(s string, at int) (from, to int) {
	if at > 0 && alphanumeric(s[at-1]) {
		return 0, 0
	}
	end := at
	for part := range 3 {
		begin := end
		end = span(s, begin, tokenChar)
		switch {
		case part < 2 && (end-begin < 8 || end == len(s) || s[end] != '.'):
			return 0, 0
		case part < 2:
			end++
		}
	}
	return at, end
}

// assigned is where the value begins that a name is given, in a header, a shell's assignment or JSON.
func assigned(s string, at int) (value int, ok bool) {
	at = span(s, span(s, at, tokenChar), quoteChar)
	at = span(s, at, blankChar)
	if at == len(s) || s[at] != ':' && s[at] != '=' {
		return 0, false
	}
	return span(s, at+1, func(c byte) bool { return blankChar(c) || quoteChar(c) }), true
}

func blankChar(c byte) bool { return c == ' ' || c == '\t' }
func quoteChar(c byte) bool { return c == '"' || c == '\'' || c == '\\' }

// findHeader cuts what a header authenticates with: a word, or the one after the name of a scheme.
func findHeader(s string, at int) (from, to int) {
	from, ok := assigned(s, at)
	if !ok {
		return 0, 0
	}
	to = span(s, from, credentialChar)
	scheme := span(s, from, func(c byte) bool { return alphanumeric(c) || c == '-' })
	if scheme == to && to-from <= 20 && to < len(s) && blankChar(s[to]) {
		word := span(s, to, blankChar)
		if strings.HasPrefix(s[word:], "[redacted") {
			return 0, 0
		}
		if span(s, word, credentialChar)-word >= minValue {
			from, to = word, span(s, word, credentialChar)
		}
	}
	return longEnough(s, from, to, minValue)
}

func credentialChar(c byte) bool { return cookieChar(c) || c == '~' || c == ':' }

// findCookie cuts every pair of a name and a value.
func findCookie(s string, at int) (from, to int) {
	from, ok := assigned(s, at)
	if !ok {
		return 0, 0
	}
	for next := from; ; {
		end := span(s, next, credentialChar)
		if strings.IndexByte(s[next:end], '=') <= 0 {
			break
		}
		to = end
		if !strings.HasPrefix(s[end:], "; ") {
			break
		}
		next = end + len("; ")
	}
	return longEnough(s, from, to, minValue)
}

func findBearer(s string, at int) (from, to int) {
	from = span(s, at+len("bearer "), blankChar)
	return longEnough(s, from, span(s, from, credentialChar), 16)
}

// findUserinfo cuts the password of a URL, or a user's name that is as long as a token.
func findUserinfo(s string, at int) (from, to int) {
	from = at + len("://")
	end := span(s, from, func(c byte) bool { return c > ' ' && c != '/' && c != '?' && c != '#' && !quoteChar(c) })
	to = from + strings.LastIndexByte(s[from:end], '@')
	if to < from {
		return 0, 0
	}
	if colon := strings.IndexByte(s[from:to], ':'); colon >= 0 {
		return longEnough(s, from+colon+1, to, 1)
	}
	return longEnough(s, from, to, 20)
}

// findValue cuts what a name like DB_PASSWORD or client_secret is given. What a shell or a template will only put there
// later is no secret.
func findValue(s string, at int) (from, to int) {
	from, ok := assigned(s, at)
	if !ok || from < len(s) && s[from] == '$' {
		return 0, 0
	}
	to = span(s, from, func(c byte) bool { return c > ' ' && strings.IndexByte("&;,|<>(){}[]`\"'\\", c) < 0 })
	return longEnough(s, from, to, minValue)
}

// longEnough leaves alone what is too short for a secret, and what another shape has cut, so that its name stays.
func longEnough(s string, from, to, least int) (int, int) {
	if to-from < least || strings.HasPrefix(s[from:], "[redacted") {
		return 0, 0
	}
	return from, to
}
