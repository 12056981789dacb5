package audit

import (
	"bytes"
	"regexp"
	"sync"
)

// A Redactor cuts secrets out of records before they are hashed: values that it was told, and what has the shape of
// a token. It cannot know a secret that it was not told and that looks like nothing in particular.
type Redactor struct {
	mu     sync.RWMutex
	values [][]byte
}

// shortest is the length below which a value is too common to be searched for.
const shortest = 6

// Add tells the redactor a secret.
func (r *Redactor) Add(secret string) {
	if len(secret) < shortest {
		return
	}
	text := appendText(nil, secret)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.values = append(r.values, text[1:len(text)-1])
}

// A shape is how a kind of token looks. hint is a part of it, found quickly.
type shape struct {
	name, hint string
	is         *regexp.Regexp
}

// shapes are from the issuers' documentation and from GitHub's list of secret scanning patterns. They run over JSON in
// ASCII: a match ends before the quotation mark or the escape that ends a string.
var shapes = []shape{
	{"anthropic-key", "sk-ant-", regexp.MustCompile(`sk-ant-[A-Za-z0-9_-]{8,}`)},
	{"openai-key", "sk-", regexp.MustCompile(`\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}`)},
	{"github-token", "gh", regexp.MustCompile(`\bgh[pousr]_[A-Za-z0-9]{20,}`)},
	{"github-token", "github_pat_", regexp.MustCompile(`github_pat_[A-Za-z0-9_]{20,}`)},
	{"gitlab-token", "glpat-", regexp.MustCompile(`glpat-[A-Za-z0-9_-]{16,}`)},
	{"npm-token", "npm_", regexp.MustCompile(`\bnpm_[A-Za-z0-9]{30,}`)},
	{"pypi-token", "pypi-", regexp.MustCompile(`pypi-[A-Za-z0-9_-]{40,}`)},
	{"slack-token", "xox", regexp.MustCompile(`\bxox[abeoprs]-[A-Za-z0-9-]{10,}`)},
	{"stripe-key", "_live_", regexp.MustCompile(`\b[rs]k_live_[A-Za-z0-9]{16,}`)},
	{"google-key", "AIza", regexp.MustCompile(`AIza[A-Za-z0-9_-]{30,}`)},
	{"aws-key", "AKIA", regexp.MustCompile(`\bAKIA[A-Z0-9]{16}\b`)},
	{"aws-key", "ASIA", regexp.MustCompile(`\bASIA[A-Z0-9]{16}\b`)},
	{"jwt", "eyJ", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`)},
	{"private-key", "PRIVATE KEY", regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[^"]*`)},
	{"authorization", "uthorization", regexp.MustCompile(`(?i)authorization(?:\\?["':= ])+(?:bearer|basic|token)?\s*[^"\\\s]{6,}`)},
	{"url-password", "://", regexp.MustCompile(`://[^/@\s"\\:]*:[^/@\s"\\]+@`)},
}

// redact works on the JSON of a record's data and leaves JSON.
func (r *Redactor) redact(data []byte) []byte {
	for _, s := range shapes {
		if bytes.Contains(data, []byte(s.hint)) {
			data = s.is.ReplaceAll(data, []byte("[redacted:"+s.name+"]"))
		}
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, v := range r.values {
		data = bytes.ReplaceAll(data, v, []byte("[redacted]"))
	}
	return data
}
