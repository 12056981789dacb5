package audit

import "strings"

// A shape is how a kind of secret looks: a mark, and what must follow it. A mark has at least three bytes.
type shape struct {
	name  string
	mark  string          // in lower case where fold is set
	fold  bool            // the mark may be in any case
	chars func(byte) bool // what may follow the mark
	min   int             // how many of these at least
	digit bool            // among which is a digit: the mark alone is too common
	// find, where a mark and what follows do not say it all, is given where the mark is and returns what is cut. An empty
	// range is no secret.
	find func(s string, at int) (from, to int)
}

// shapes are all that are known. Sources: the issuers' documentation where it states the form (GitHub "About
// authentication to GitHub", GitLab "Token overview", AWS IAM "Unique identifiers", Slack "Token types", Stripe "API
// keys", npm "About access tokens", PyPI "API tokens", HashiCorp Vault "Tokens", RFC 7468, RFC 7519, RFC 9110 §11.6,
// RFC 3986 §3.2.1), else the rules of gitleaks and GitHub's list of supported secret scanning patterns.
// To add one: a line here and one in TestShapes.
var shapes = [...]shape{
	{name: "private-key", mark: "-----begin ", fold: true, find: findPEM},
	{name: "anthropic-key", mark: "sk-ant-", chars: tokenChar, min: 8},
	{name: "openai-key", mark: "sk-proj-", chars: tokenChar, min: 16},
	{name: "openai-key", mark: "sk-svcacct-", chars: tokenChar, min: 16},
	{name: "openai-key", mark: "sk-admin-", chars: tokenChar, min: 16},
	{name: "key", mark: "sk-", chars: tokenChar, min: 20, digit: true}, // OpenAI's old form, and many that copied it
	{name: "github-token", mark: "ghp_", chars: alphanumeric, min: 20},
	{name: "github-token", mark: "gho_", chars: alphanumeric, min: 20},
	{name: "github-token", mark: "ghu_", chars: alphanumeric, min: 20},
	{name: "github-token", mark: "ghs_", chars: tokenChar, min: 20},
	{name: "github-token", mark: "ghr_", chars: alphanumeric, min: 20},
	{name: "github-token", mark: "github_pat_", chars: tokenChar, min: 20},
	{name: "gitlab-token", mark: "glpat-", chars: dottedChar, min: 16},
	{name: "gitlab-token", mark: "gldt-", chars: dottedChar, min: 16},
	{name: "gitlab-token", mark: "glrt-", chars: dottedChar, min: 16},
	{name: "gitlab-token", mark: "glcbt-", chars: dottedChar, min: 16},
	{name: "npm-token", mark: "npm_", chars: alphanumeric, min: 30},
	{name: "pypi-token", mark: "pypi-", chars: tokenChar, min: 40},
	{name: "slack-token", mark: "xoxe.", chars: tokenChar, min: 10}, // another follows
	{name: "slack-token", mark: "xoxb-", chars: tokenChar, min: 10},
	{name: "slack-token", mark: "xoxp-", chars: tokenChar, min: 10},
	{name: "slack-token", mark: "xoxa-", chars: tokenChar, min: 10},
	{name: "slack-token", mark: "xoxr-", chars: tokenChar, min: 10},
	{name: "slack-token", mark: "xoxs-", chars: tokenChar, min: 10},
	{name: "slack-token", mark: "xoxo-", chars: tokenChar, min: 10},
	{name: "slack-token", mark: "xoxc-", chars: tokenChar, min: 10},
	{name: "slack-token", mark: "xoxd-", chars: cookieChar, min: 10},
	{name: "slack-token", mark: "xoxe-", chars: tokenChar, min: 10},
	{name: "slack-token", mark: "xapp-", chars: tokenChar, min: 10},
	{name: "slack-webhook", mark: "hooks.slack.com/", chars: pathChar, min: 16},
	{name: "stripe-key", mark: "sk_live_", chars: alphanumeric, min: 16},
	{name: "stripe-key", mark: "rk_live_", chars: alphanumeric, min: 16},
	{name: "stripe-key", mark: "sk_test_", chars: alphanumeric, min: 16},
	{name: "stripe-key", mark: "rk_test_", chars: alphanumeric, min: 16},
	{name: "stripe-key", mark: "whsec_", chars: alphanumeric, min: 16},
	{name: "google-key", mark: "AIza", chars: tokenChar, min: 30},
	{name: "google-token", mark: "ya29.", chars: dottedChar, min: 20},
	{name: "google-token", mark: "GOCSPX-", chars: tokenChar, min: 20},
	{name: "aws-key", mark: "AKIA", chars: upperDigit, min: 16},
	{name: "aws-key", mark: "ASIA", chars: upperDigit, min: 16},
	{name: "aws-key", mark: "ABSK", chars: base64Char, min: 40},
	{name: "huggingface-token", mark: "hf_", chars: alphanumeric, min: 30},
	{name: "groq-key", mark: "gsk_", chars: alphanumeric, min: 40},
	{name: "xai-key", mark: "xai-", chars: alphanumeric, min: 40},
	{name: "perplexity-key", mark: "pplx-", chars: alphanumeric, min: 40},
	{name: "replicate-token", mark: "r8_", chars: alphanumeric, min: 36},
	{name: "docker-token", mark: "dckr_pat_", chars: tokenChar, min: 20},
	{name: "digitalocean-token", mark: "dop_v1_", chars: alphanumeric, min: 40},
	{name: "sendgrid-key", mark: "SG.", chars: dottedChar, min: 50},
	{name: "vault-token", mark: "hvs.", chars: tokenChar, min: 24},
	{name: "vault-token", mark: "hvb.", chars: tokenChar, min: 24},
	{name: "atlassian-token", mark: "ATATT3", chars: cookieChar, min: 40},
	{name: "linear-key", mark: "lin_api_", chars: alphanumeric, min: 30},
	{name: "notion-token", mark: "ntn_", chars: alphanumeric, min: 40},
	{name: "shopify-token", mark: "shpat_", chars: alphanumeric, min: 30},
	{name: "databricks-token", mark: "dapi", chars: hexChar, min: 32},
	{name: "1password-token", mark: "ops_eyJ", chars: tokenChar, min: 40},
	{name: "age-key", mark: "AGE-SECRET-KEY-1", chars: upperDigit, min: 50},
	{name: "jwt", mark: "eyJ", find: findJWT},
	{name: "authorization", mark: "authorization", fold: true, find: findHeader},
	{name: "header", mark: "api-key", fold: true, find: findHeader},
	{name: "header", mark: "private-token", fold: true, find: findHeader},
	{name: "header", mark: "auth-token", fold: true, find: findHeader},
	{name: "cookie", mark: "cookie", fold: true, find: findCookie},
	{name: "bearer", mark: "bearer ", fold: true, find: findBearer},
	{name: "url-password", mark: "://", find: findUserinfo},
	{name: "value", mark: "password", fold: true, find: findValue},
	{name: "value", mark: "passwd", fold: true, find: findValue},
	{name: "value", mark: "secret", fold: true, find: findValue},
	{name: "value", mark: "api_key", fold: true, find: findValue},
	{name: "value", mark: "apikey", fold: true, find: findValue},
	{name: "value", mark: "_token", fold: true, find: findValue},
	{name: "value", mark: "private_key", fold: true, find: findValue},
}

// marks says whether a text begins with the mark.
func (sh *shape) marks(s string) bool {
	if !sh.fold || len(s) < len(sh.mark) {
		return strings.HasPrefix(s, sh.mark)
	}
	for i := range len(sh.mark) {
		if lower(s[i]) != sh.mark[i] {
			return false
		}
	}
	return true
}

func (sh *shape) cut(s string, at int) (from, to int) {
	if sh.find != nil {
		return sh.find(s, at)
	}
	if at > 0 && alphanumeric(s[at-1]) {
		return 0, 0
	}
	start := at + len(sh.mark)
	end := span(s, start, sh.chars)
	if end-start < sh.min || sh.digit && !strings.ContainsAny(s[start:end], "0123456789") {
		return 0, 0
	}
	return at, end
}

// span is where the run of such bytes that begins at from ends.
func span(s string, from int, is func(byte) bool) int {
	for from < len(s) && is(s[from]) {
		from++
	}
	return from
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

func digitChar(c byte) bool    { return c >= '0' && c <= '9' }
func alphanumeric(c byte) bool { l := lower(c); return l >= 'a' && l <= 'z' || digitChar(c) }
func upperDigit(c byte) bool   { return c >= 'A' && c <= 'Z' || digitChar(c) }
func hexChar(c byte) bool      { l := lower(c); return l >= 'a' && l <= 'f' || digitChar(c) }
func tokenChar(c byte) bool    { return alphanumeric(c) || c == '-' || c == '_' }
func dottedChar(c byte) bool   { return tokenChar(c) || c == '.' }
func base64Char(c byte) bool   { return tokenChar(c) || c == '+' || c == '/' || c == '=' }
func cookieChar(c byte) bool   { return base64Char(c) || c == '%' || c == '.' }
func pathChar(c byte) bool     { return tokenChar(c) || c == '/' }
