package audit

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// Every shape is found in the middle of a text, and at its very beginning and end.
func TestShapes(t *testing.T) {
	const a40 = "abcdefghij0123456789ABCDEFGHIJ0123456789"
	for secret, name := range map[string]string{
		"sk-ant-api03-" + a40:        "anthropic-key",
		"sk-ant-oat01-" + a40:        "anthropic-key",
		"sk-proj-" + a40:             "openai-key",
		"sk-svcacct-" + a40:          "openai-key",
		"sk-admin-" + a40:            "openai-key",
		"sk-" + a40:                  "key",
		"ghp_" + a40:                 "github-token",
		"gho_" + a40:                 "github-token",
		"ghu_" + a40:                 "github-token",
		"ghs_" + a40:                 "github-token",
		"ghr_" + a40:                 "github-token",
		"github_pat_11ABC_" + a40:    "github-token",
		"glpat-" + a40:               "gitlab-token",
		"gldt-" + a40:                "gitlab-token",
		"glrt-" + a40:                "gitlab-token",
		"glcbt-1_" + a40:             "gitlab-token",
		"npm_" + a40:                 "npm-token",
		"pypi-AgEIcHlwaS5vcmc" + a40: "pypi-token",
		"xoxb-1234-5678-" + a40:      "slack-token",
		"xoxp-1234-5678-" + a40:      "slack-token",
		"xoxa-2-" + a40:              "slack-token",
		"xoxr-" + a40:                "slack-token",
		"xoxs-" + a40:                "slack-token",
		"xoxo-" + a40:                "slack-token",
		"xoxc-" + a40:                "slack-token",
		"xoxd-" + a40 + "%2F":        "slack-token",
		"xoxe-1-" + a40:              "slack-token",
		"xoxe.xoxp-1-" + a40:         "slack-token",
		"xapp-1-A0-" + a40:           "slack-token",
		"hooks.slack.com/services/T00000000/B00000000/" + a40: "slack-webhook",
		"sk_live_" + a40:                  "stripe-key",
		"rk_live_" + a40:                  "stripe-key",
		"sk_test_" + a40:                  "stripe-key",
		"rk_test_" + a40:                  "stripe-key",
		"whsec_" + a40:                    "stripe-key",
		"AIza" + a40[:35]:                 "google-key",
		"ya29.a0-" + a40:                  "google-token",
		"GOCSPX-" + a40:                   "google-token",
		"AKIAIOSFODNN7EXAMPLE":            "aws-key",
		"ASIAIOSFODNN7EXAMPLE":            "aws-key",
		"ABSK" + a40 + "==":               "aws-key",
		"hf_" + a40:                       "huggingface-token",
		"gsk_" + a40:                      "groq-key",
		"xai-" + a40:                      "xai-key",
		"pplx-" + a40:                     "perplexity-key",
		"r8_" + a40:                       "replicate-token",
		"dckr_pat_" + a40:                 "docker-token",
		"dop_v1_" + a40:                   "digitalocean-token",
		"SG." + a40[:22] + "." + a40:      "sendgrid-key",
		"hvs." + a40:                      "vault-token",
		"hvb." + a40:                      "vault-token",
		"ATATT3" + a40 + "=AB":            "atlassian-token",
		"lin_api_" + a40:                  "linear-key",
		"ntn_" + a40:                      "notion-token",
		"shpat_" + a40:                    "shopify-token",
		"dapi" + strings.Repeat("0a", 16): "databricks-token",
		"ops_eyJ" + a40:                   "1password-token",
		"AGE-SECRET-KEY-1" + strings.Repeat("QPZRY9X8GF2TVDW0", 4):                                       "age-key",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl":                                              "jwt",
		"eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.":                                                           "jwt",
		"-----BEGIN OPENSSH PRIVATE KEY-----\nMIIE+/=\nMIIE\n-----END OPENSSH PRIVATE KEY-----":          "private-key",
		"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIE\n-----END RSA PRIVATE KEY-----": "private-key",
		`-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----`:                                   "private-key",
		"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQ==\n-----END PGP PRIVATE KEY BLOCK-----":             "private-key",
	} {
		for _, around := range [][2]string{{"", ""}, {"before\n", "\nafter"}, {"'", "'"}, {"KEY=", " x"}, {"\x1b", "\xff"}} {
			got := (&Redactor{}).redact(around[0] + secret + around[1])
			if want := around[0] + "[redacted:" + name + "]" + around[1]; got != want {
				t.Errorf("%q gives %q", around[0]+secret+around[1], got)
			}
		}
	}
}

// Where only the surroundings tell a secret, the surroundings stay.
func TestValuesOfNames(t *testing.T) {
	for in, want := range map[string]string{
		`curl -H "Authorization: Bearer abc.def-ghi" https://x`: `curl -H "Authorization: Bearer [redacted:authorization]" https://x`,
		"Authorization: Bearer ghp_abcdefghij0123456789":        "Authorization: Bearer [redacted:github-token]",
		"PRIVATE_KEY='-----BEGIN PRIVATE KEY-----\nMIIE\n'":     "PRIVATE_KEY='[redacted:private-key]'",
		"proxy-authorization: Basic dXNlcjpwYXNz":               "proxy-authorization: Basic [redacted:authorization]",
		"AUTHORIZATION: opaque-value":                           "AUTHORIZATION: [redacted:authorization]",
		`{"authorization":"token abcdef"}`:                      `{"authorization":"token [redacted:authorization]"}`,
		"x-api-key: 0123456789":                                 "x-api-key: [redacted:header]",
		"PRIVATE-TOKEN: abcdefgh":                               "PRIVATE-TOKEN: [redacted:header]",
		"Cookie: a=12345; session=abcdef; rm -rf /":             "Cookie: [redacted:cookie]; rm -rf /",
		"it said bearer abcdefghijklmnop":                       "it said bearer [redacted:bearer]",
		"https://me:hunter2@example.com/x?y=1":                  "https://me:[redacted:url-password]@example.com/x?y=1",
		"https://0123456789abcdef0123@example.com":              "https://[redacted:url-password]@example.com",
		"git://git@github.com:22/x":                             "git://git@github.com:22/x",
		"PGPASSWORD=hunter22 psql":                              "PGPASSWORD=[redacted:value] psql",
		"--password=hunter22; rm -rf /":                         "--password=[redacted:value]; rm -rf /",
		`{"client_secret": "abcdefgh"}`:                         `{"client_secret": "[redacted:value]"}`,
		"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG":         "aws_secret_access_key = [redacted:value]",
		"GITLAB_TOKEN=abcdefgh":                                 "GITLAB_TOKEN=[redacted:value]",
		"PASSWORD=$(pass show x)":                               "PASSWORD=$(pass show x)",
		"password=x$(rm -rf /)":                                 "password=x$(rm -rf /)",
		": authorization: ; rm -rf / --no-preserve-root":        ": authorization: ; rm -rf / --no-preserve-root",
		"-----BEGIN PRIVATE KEY-----'; rm -rf /":                "[redacted:private-key]'; rm -rf /",
		"-----BEGIN CERTIFICATE-----\nMIIE":                     "-----BEGIN CERTIFICATE-----\nMIIE",
		"secrets are kept in a vault; tokens: 4096":             "secrets are kept in a vault; tokens: 4096",
		"task-management-of-something-very-long-2":              "task-management-of-something-very-long-2",
		"sk-learn-experiments-without-numbers":                  "sk-learn-experiments-without-numbers",
		"[redacted:github-token]":                               "[redacted:github-token]",
		"password=[redacted]":                                   "password=[redacted]",
	} {
		if got := (&Redactor{}).redact(in); got != want {
			t.Errorf("%q gives\n%q, not\n%q", in, got, want)
		}
	}
}

// A secret that was told is found in every form in which programs are likely to show it.
func TestToldSecrets(t *testing.T) {
	for _, secret := range []string{"correct horse/battery+staple?", "p\"w\\d\n\x01\xff!", "abcdef"} {
		r := &Redactor{}
		r.Add(secret)
		r.Add("tiny") // ignored
		b64 := base64.StdEncoding.EncodeToString
		for name, text := range map[string]string{
			"as it is":                    "--token=" + secret + "&x",
			"in a query":                  "?t=" + url.QueryEscape(secret),
			"in a path":                   "/" + url.PathEscape(secret),
			"in lower-case escapes":       lowerEscapes(url.QueryEscape(secret)),
			"in base64":                   b64([]byte(secret)),
			"for basic authentication":    "basic " + b64([]byte("user:"+secret)),
			"one byte further":            b64([]byte("x" + secret + "yz")),
			"two bytes further":           b64([]byte("xy" + secret + "z")),
			"in base64 for URLs":          base64.RawURLEncoding.EncodeToString([]byte("user:" + secret)),
			"in hexadecimal":              hex.EncodeToString([]byte(secret)),
			"in capital hexadecimal":      strings.ToUpper(hex.EncodeToString([]byte(secret))),
			"as this log would escape it": string(appendText(nil, secret)),
		} {
			got := r.redact("before " + text + " after tiny")
			if !strings.Contains(got, redacted) || strings.Contains(got, secret) || !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after tiny") {
				t.Errorf("%s: %q gives %q", name, text, got)
			}
		}
	}
}

func TestLogHoldsNoSecret(t *testing.T) {
	secrets := &Redactor{}
	secrets.Add("correct horse battery staple")
	l := create(t, Options{Secrets: secrets})
	e := &Start{Argv: Texts([]string{"ghp_abcdefghij0123456789abcdef", "kept"}), Workspace: "/correct horse battery staple",
		Policy: []byte(`{"agent":{"env":{"K":"correct horse battery staple"}}}`)}
	if err := l.Append(e); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	data := string(content(t, l))
	if strings.Contains(data, "horse") || strings.Contains(data, "abcdefghij") || !strings.Contains(data, `"[redacted:github-token]","kept"`) {
		t.Error(data)
	}
	if r := verify(t, []byte(data), Expected{}); r.Verdict != Sealed {
		t.Error(r)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if s := fmt.Sprintf(verb, secrets); s != "redactor" {
			t.Errorf("%s prints %q", verb, s)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("curl -H 'Authorization: Bearer abc' https://a:b@c", "abc")
	f.Add("-----BEGIN PRIVATE KEY-----\n-----END ", "password=12345678")
	f.Fuzz(func(t *testing.T, s, secret string) {
		r := &Redactor{}
		r.Add(secret)
		once := r.redact(s)
		if len(secret) >= shortest && !strings.Contains("[redacted:", secret) && strings.Contains(once, secret) && !strings.Contains(secret, "redacted") {
			t.Errorf("%q is still in %q", secret, once)
		}
		if twice := r.redact(once); len(secret) < shortest && twice != once {
			t.Errorf("%q becomes %q and then %q", s, once, twice)
		}
	})
}
