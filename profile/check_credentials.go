package profile

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

var (
	headerName  = lazily(`^[A-Za-z0-9-]{1,64}$`)
	headerValue = lazily(`^[!-~]([ -~]*[!-~])?$`)
	userName    = lazily(`^[!-9;-~]{1,128}$`) // RFC 7617, section 2: no colon
	jsonKeys    = lazily(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	queryName   = lazily(`^[A-Za-z0-9._-]{1,64}$`)
	holderShape = lazily(`^[A-Za-z0-9._~-]*\{\}[A-Za-z0-9._~-]*$`)
)

// referenceProblem checks a reference to a secret. It never repeats the text,
// which is the secret itself if somebody wrote that here.
func referenceProblem(s string) *complaint {
	kind, rest, _ := strings.Cut(s, ":")
	ok := false
	switch kind {
	case "env":
		ok = envName(rest)
	case "file":
		file, keys, within := strings.Cut(rest, "#")
		ok = fullPath(file) && cleanPath(file) == file && file != "/" && (!within || jsonKeys().MatchString(keys))
	case "command":
		program, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		ok = program != "" && (fullPath(program) || !strings.Contains(program, "/"))
	}
	if ok {
		return nil
	}
	return &complaint{msg: "is not a reference to a secret", hint: `write "env:NAME", "file:/full/path" or "command:program args"; a profile holds no secrets`}
}

// PlainLoopback is what an entry of credential.hosts begins with that is a server of the host's loopback.
const PlainLoopback = "http://"

// credentialHost is an entry of credential.hosts; plain says that TLS does not protect it.
func credentialHost(entry string) (p HostPattern, plain bool, w *complaint) {
	rest, plain := strings.CutPrefix(entry, PlainLoopback)
	p, w = parsePattern(rest, false)
	if !plain || w != nil && !w.warning {
		return p, plain, w
	}
	if !p.Host.Addr.IsLoopback() || p.Port == 0 {
		return p, true, &complaint{msg: fmt.Sprintf("%q would send the secret in the clear", entry), hint: `plain HTTP is for "http://127.0.0.1:PORT" alone; leave "http://" out for TLS`}
	}
	return p, true, nil
}

// CredentialHost reads an entry of credential.hosts that Check has passed.
func CredentialHost(entry string) (p HostPattern, plain bool, err error) {
	p, plain, w := credentialHost(entry)
	if w != nil && !w.warning {
		return HostPattern{}, false, fmt.Errorf("%s", w.msg)
	}
	return p, plain, nil
}

func (c *checker) credentials() {
	variables := map[string]string{}
	for i, r := range c.p.Credentials {
		at := index("credential", i)
		c.nameOK(at+".name", r.Name)
		if w := referenceProblem(r.Source); w != nil {
			c.finding(at+".source", *w)
		}
		if r.Missing != "" {
			c.word(at+".missing", r.Missing)
		}
		if r.Unless != "" && !slices.ContainsFunc(c.p.Credentials[:i], func(o Credential) bool { return o.Name == r.Unless }) {
			c.add(at+".unless", fmt.Sprintf("there is no credential %q above this one", r.Unless), "name one that stands before it")
		}
		c.handedIn(at+".source", r.Source, r.Env)
		c.quoted(at+".source", r.Source)
		c.credentialHosts(at, r)
		c.each(at+".methods", r.Methods, methodProblem)
		c.each(at+".paths", r.Paths, urlPathProblem)
		c.carrier(at, r)
		if r.Placeholder != "" && (!holderShape().MatchString(r.Placeholder) || len(r.Placeholder) > 256) {
			c.add(at+".placeholder", "must have {} in it once, and nothing that a URL or a header would change", `write "sk-{}"`)
		}
		if r.BaseURLPath != "" {
			if w := urlPathProblem(r.BaseURLPath); w != nil || strings.Contains(r.BaseURLPath, "*") || r.BaseURLEnv == "" {
				c.add(at+".base_url_path", "is not the end of a URL in base_url_env", `write base_url_env = "OPENAI_BASE_URL" and base_url_path = "/v1"`)
			}
		}
		for key, name := range map[string]string{".env": r.Env, ".base_url_env": r.BaseURLEnv, ".socket_env": r.SocketEnv} {
			c.credentialVariable(at+key, name, variables)
		}
	}
}

// quoted warns of a command that was written for a shell.
func (c *checker) quoted(at, reference string) {
	if command, ok := strings.CutPrefix(reference, "command:"); ok && strings.ContainsAny(command, `'"`) {
		c.warn(at, "has quotes, which are passed on as they are: arguments are split at blanks, without a shell", "name a script of yours")
	}
}

// handedIn refuses a secret that the agent would find in its own environment. holder is the variable in which it finds a
// placeholder instead, or noHolder.
func (c *checker) handedIn(at, reference, holder string) {
	name, ok := strings.CutPrefix(reference, "env:")
	if !ok || name == holder {
		return
	}
	for _, p := range c.p.Agent.EnvPass {
		if ok, err := path.Match(p, name); ok && err == nil {
			hint := fmt.Sprintf("remove %q there", p)
			if holder != noHolder {
				hint += fmt.Sprintf(", or write env = %q here, for a placeholder in its place", name)
			}
			c.add(at, fmt.Sprintf("agent.env_pass hands %s to the agent", name), hint)
		}
	}
}

// noHolder is that of a secret for which no placeholder can stand; it is the name of no variable.
const noHolder = "="

// boxVariables are those that agentbox sets in every box, or in one with a network.
var boxVariables = []string{
	"HOME", "PATH", "PWD", "SHELL", "USER", "LOGNAME", "TMPDIR", "TERM", "XDG_RUNTIME_DIR", "AGENTBOX", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
	"NODE_USE_ENV_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS",
	"NPM_CONFIG_CAFILE", "CARGO_HTTP_CAINFO", "DENO_CERT", "AWS_CA_BUNDLE",
}

// credentialVariable checks a variable that agentbox sets for a credential.
func (c *checker) credentialVariable(at, name string, taken map[string]string) {
	_, set := c.p.Agent.Env[name]
	switch {
	case name == "":
	case slices.Contains(boxVariables, name) || slices.Contains(boxVariables, strings.ToUpper(name)):
		c.add(at, fmt.Sprintf("%s is agentbox's to set", name), "name the variable in which the agent looks for its key")
	case !envName(name) || HijackVariable(name):
		c.add(at, fmt.Sprintf("%q is not a variable to put a placeholder in", name), "")
	case taken[name] != "":
		c.add(at, fmt.Sprintf("%s sets %s too", taken[name], name), "a variable holds one placeholder")
	case set:
		c.add(at, fmt.Sprintf("agent.env sets %s too", name), "remove one of them")
	default:
		taken[name] = at
	}
}

func (c *checker) credentialHosts(at string, r Credential) {
	if len(r.Hosts) == 0 {
		c.add(at+".hosts", "is missing", "a credential is added to requests to certain hosts only")
	}
	exact := 0
	for i, entry := range r.Hosts {
		p, _, w := credentialHost(entry)
		here := index(at+".hosts", i)
		if w != nil {
			c.finding(here, *w)
		}
		if w == nil || w.warning {
			c.outOfReach(here, entry, p)
		}
		if w == nil && !p.Subdomains && p.Registry == "" {
			exact++
		}
	}
	for key, name := range map[string]string{".base_url_env": r.BaseURLEnv, ".socket_env": r.SocketEnv} {
		if name != "" && (exact != 1 || len(r.Hosts) != 1) {
			c.add(at+key, "leads to one host, and hosts does not name one", `write hosts = ["api.example.com"]`)
		}
	}
}

// outOfReach warns of a credential that no request can carry: it opens nothing by itself.
func (c *checker) outOfReach(at, entry string, p HostPattern) {
	switch {
	case c.p.Network.Mode == "none":
		c.warn(at, `has no effect: network.mode is "none"`, `write mode = "allowlist"`)
	case !c.allowed(p):
		c.warn(at, "is not in network.allow, and a credential opens nothing", fmt.Sprintf("add %q there", strings.TrimPrefix(entry, PlainLoopback)))
	}
}

// allowed reports whether network.allow has a host that a pattern is about. What a registry stands for is the host's
// matter.
func (c *checker) allowed(p HostPattern) bool {
	port := func(p HostPattern) uint16 {
		if p.Port == 0 {
			return 443
		}
		return p.Port
	}
	return slices.ContainsFunc(c.p.Network.Allow, func(entry string) bool {
		a, err := ParseHostPattern(entry, false)
		if err != nil || a.Registry != "" || p.Registry != "" {
			return err == nil
		}
		return port(a) == port(p) && (a.Match(p.Host) || a.Subdomains && p.Subdomains && a.Host == p.Host || p.Subdomains && p.Match(a.Host))
	})
}

// carrier checks how requests carry the secret: each way has fields of its own.
func (c *checker) carrier(at string, r Credential) {
	as := r.Carrier()
	if k, _ := lookupKey("credential[].as"); !slices.Contains(k.Enum, as) {
		c.word(at+".as", as)
		return
	}
	if as == "header" && r.Header == "" {
		c.add(at+".header", "is missing", `write header = "x-api-key", or as = "bearer"`)
	} else if (as == "header" || r.Header != "") && !headerName().MatchString(r.Header) {
		c.add(at+".header", fmt.Sprintf("%q is not the name of a header", r.Header), `write "authorization" or "x-api-key"`)
	} else if r.Header != "" && hopHeader(r.Header) {
		c.add(at+".header", fmt.Sprintf("%q is about the connection", r.Header), `write "authorization" or "x-api-key"`)
	}
	if r.Format != "" && (strings.Count(r.Format, "{}") != 1 || !headerValue().MatchString(r.Format)) {
		c.add(at+".format", "must have {} in it once, for the secret", `write "Bearer {}"`)
	}
	if as == "basic" && !userName().MatchString(r.User) {
		c.add(at+".user", "is not a user name", `write user = "x-access-token", or what the server wants`)
	}
	if as == "query" && !queryName().MatchString(r.Query) {
		c.add(at+".query", "is not the name of a parameter", `write query = "key"`)
	}
	for field, use := range map[string]struct {
		set bool
		as  string
	}{"header": {r.Header != "", "header"}, "format": {r.Format != "", "header"}, "user": {r.User != "", "basic"}, "query": {r.Query != "", "query"}} {
		if use.set && as != use.as {
			c.add(at+"."+field, fmt.Sprintf("is for as = %q", use.as), "remove it")
		}
	}
}

// hopHeader reports a header that is not passed on, or that frames a message (RFC 9110, section 7.6.1).
func hopHeader(name string) bool {
	return slices.Contains([]string{"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host", "expect", "proxy-authorization", "accept-encoding"},
		strings.ToLower(name))
}

// Carrier is how a request carries the secret.
func (r Credential) Carrier() string {
	if r.As == "" {
		return "header"
	}
	return r.As
}

func (c *checker) budget() {
	b := c.p.Budget
	atLeast(c, "budget.usd", b.USD, 0.01, 100000)
	atLeast(c, "budget.tokens", b.Tokens, 1, 1<<50)
	if b.WarnAt < 0 || b.WarnAt > 1 {
		c.add("budget.warn_at", fmt.Sprintf("%v is not between 0 and 1", b.WarnAt), "write 0.8 for a warning at 80 %")
	}
	c.each("budget.hosts", b.Hosts, func(s string) *complaint { return hostProblem(s, false) })
	c.uncounted()
	for i, p := range c.p.Prices {
		at := index("price", i)
		if p.Model == "" {
			c.add(at+".model", "is missing", `write model = "claude-opus-4-8"`)
		}
		for field, v := range map[string]float64{"input": p.Input, "output": p.Output, "cache_read": p.CacheRead, "cache_write": p.CacheWrite} {
			if v < 0 || v > 1e6 {
				c.add(at+"."+field, fmt.Sprintf("%v is not a price of a million tokens", v), "write US dollars")
			}
		}
		if p.Input == 0 || p.Output == 0 {
			c.add(at, "has no price of input or of output", "a model that costs nothing needs no budget; write a small price")
		}
	}
}

// uncounted warns of a budget that nothing is counted towards.
func (c *checker) uncounted() {
	at := "budget.usd"
	if c.p.Budget.USD == 0 {
		at = "budget.tokens"
	}
	switch {
	case !c.p.Budget.Limited():
	case c.p.Network.Mode == "none":
		c.warn(at, `has no effect: network.mode is "none"`, "what needs no network costs nothing here")
	case len(c.p.Credentials) == 0 && !slices.ContainsFunc(c.p.Budget.Hosts, func(s string) bool {
		p, err := ParseHostPattern(s, false)
		return err == nil && c.allowed(p)
	}):
		c.warn(at, "nothing is counted: no host of budget.hosts is in network.allow, and there is no credential", `name the model's host in both ("api.example.com")`)
	}
}

// Inspected are the hosts whose TLS agentbox reads, as entries of a host list: those of credentials, of rules about
// requests, and, with a budget, of models.
func (p Profile) Inspected() []string {
	var list []string
	add := func(entry string) {
		if !slices.Contains(list, entry) {
			list = append(list, entry)
		}
	}
	if p.Network.Mode != "allowlist" {
		return nil
	}
	for _, r := range p.Credentials {
		for _, h := range r.Hosts {
			if !strings.HasPrefix(h, PlainLoopback) {
				add(h)
			}
		}
	}
	for _, r := range p.Network.Rules {
		if h, err := ParseHostPattern(r.Host, false); err == nil && h.Port != 80 && r.AboutRequests() {
			add(r.Host)
		}
	}
	if p.Budget.Limited() {
		for _, h := range p.Budget.Hosts {
			add(h)
		}
	}
	return list
}
