package credential

import (
	"crypto/rand"
	"strings"

	"agentbox/internal/secret"
	"agentbox/profile"
)

// shapes are the well-known beginnings of keys, and how long what follows them is. Clients look at both.
var shapes = []struct {
	prefix string
	rest   int
}{
	{"sk-ant-api03-", 95}, {"sk-ant-oat01-", 95}, {"sk-ant-", 95}, {"sk-proj-", 48}, {"sk-svcacct-", 48}, {"sk-or-v1-", 64}, {"sk-", 48},
	{"ghp_", 36}, {"gho_", 36}, {"ghu_", 36}, {"ghs_", 36}, {"github_pat_", 82}, {"glpat-", 20}, {"AIza", 35}, {"npm_", 36}, {"pypi-", 48},
	{"xoxb-", 48}, {"xoxp-", 48}, {"hf_", 34}, {"gsk_", 52}, {"xai-", 80}, {"r8_", 37}, {"dop_v1_", 64}, {"lin_api_", 40},
}

const (
	mark    = "agentbox" // what people recognise it by
	hidden  = 24         // characters that make it this session's, at least: 142 bits
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// NewPlaceholder makes what the box holds in place of a secret: of the shape that the profile gives, or of the secret's
// own where that is a well-known one. Nothing of it but such a beginning comes from the secret.
func NewPlaceholder(row profile.Credential, v secret.Value) string {
	if row.Placeholder != "" {
		return strings.Replace(row.Placeholder, "{}", mark+random(hidden), 1)
	}
	for _, s := range shapes {
		if strings.HasPrefix(v.Reveal(), s.prefix) {
			return s.prefix + mark + random(max(s.rest-len(mark), hidden))
		}
	}
	return mark + random(40)
}

func random(n int) string {
	out := make([]byte, 0, n)
	for b := make([]byte, 1); len(out) < n; {
		_, _ = rand.Read(b) // it does not fail
		if int(b[0]) < 256-256%len(letters) {
			out = append(out, letters[int(b[0])%len(letters)])
		}
	}
	return string(out)
}
