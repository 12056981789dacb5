package cli

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/egress"
	"agentbox/internal/egress/credential"
	"agentbox/internal/egress/route"
	"agentbox/launch"
	"agentbox/profile"
)

type whyOptions struct {
	planOptions
	target string
	method string
	json   bool
}

func newWhy(c *caller) *cli.Command {
	return &cli.Command{
		Name: "why", Usage: "say whether the agent may reach a host, and which line of the profile decides", UsageText: "agentbox why [options] URL|HOST[:PORT]",
		Description: "Gives the verdict that a box with the same options would, and starts none. An allowed name is looked up, as it would be when it is reached.\nEnds with 1 when it is refused.",
		Flags: append(runFlags(),
			&cli.StringFlag{Name: "method", Usage: "the HTTP `METHOD` of the request", Value: "GET"}, jsonFlag()),
		Action: func(ctx *cli.Context) error {
			o := whyOptions{target: ctx.Args().First(), method: ctx.String("method"), json: ctx.Bool("json")}
			if err := wantArgs(ctx, 1); err != nil {
				return err
			}
			if o.target == "" {
				return &usageError{msg: "there is nothing to ask about", hint: `name a URL or a host: agentbox why https://example.com`}
			}
			var err error
			if o.profileOptions, err = profileOptionsFrom(ctx); err != nil {
				return err
			}
			return why(ctx.Context, o, c)
		},
	}
}

// An answer is what `why --json` prints.
type answer struct {
	Version   int      `json:"version"`
	Target    string   `json:"target"` // in its one form
	Allowed   bool     `json:"allowed"`
	Reason    string   `json:"reason"`
	Rule      string   `json:"rule,omitempty"`  // the key of the entry that decided, in its file
	Entry     string   `json:"entry,omitempty"` // what it says
	File      string   `json:"file,omitempty"`
	Line      int      `json:"line,omitempty"`
	Detail    string   `json:"detail,omitempty"`
	Addresses []string `json:"addresses,omitempty"` // that it would be dialled at

	Inspected   bool     `json:"inspected"`             // TLS to it is read
	Credentials []string `json:"credentials,omitempty"` // that the request would carry
}

func why(ctx context.Context, o whyOptions, c *caller) error {
	q, err := parseTarget(o.target, o.method)
	if err != nil {
		return err
	}
	p, err := decide(o.planOptions)
	if err != nil {
		return quiet(err)
	}
	compiled, registries, missing, err := p.egress(ctx)
	if err != nil {
		return quiet(err)
	}
	set, err := p.unopened(registries)
	if err != nil {
		return quiet(err)
	}
	r := p.answer(ctx, compiled, q)
	to := credential.Target{Host: q.Host, Port: q.Port, Secure: q.secure}
	if rule, ok := compiled.ByPath(q.Host, q.Port); r.Allowed && q.odd && (ok || set.ByPath(to)) {
		r.take(p, egress.Verdict{Reason: egress.BadRequest, Rule: rule, Detail: "the path can be read in more than one way, and paths decide here"})
	}
	if r.Allowed {
		r.Inspected = compiled.Inspects(q.Host, q.Port)
		r.Credentials = set.Names(to, q.Method, q.Path)
	}
	if o.json {
		err = c.voice.json(r)
	} else {
		for _, m := range missing {
			c.voice.warnf("%s", m)
		}
		c.explainReason(r)
	}
	if err == nil && !r.Allowed {
		return exitStatus(exitFailure)
	}
	return err
}

// An asked is what somebody asks about; secure is that TLS protects it.
type asked struct {
	egress.Query
	secure bool
	odd    bool // its path can be read in more than one way
}

// parseTarget reads what a person writes: a URL, or a host with or without a port.
func parseTarget(text, method string) (asked, error) {
	hint := `write a URL or a host: "https://example.com/path", "example.com:8443"`
	rest, port := text, uint16(443)
	q := asked{secure: true}
	if scheme, _, ok := strings.Cut(text, "://"); ok {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			return q, &usageError{msg: fmt.Sprintf("%q is not a URL", text), hint: hint}
		}
		rest = u.Host
		q.Method = strings.ToUpper(method)
		clean, exact := route.Path(u)
		q.Path, q.odd = clean, !exact
		switch strings.ToLower(scheme) {
		case "http", "ws":
			port, q.secure = 80, false
		case "https", "wss":
		default:
			port = 0
		}
	}
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.HasSuffix(rest, "]") && (strings.Count(rest, ":") == 1 || strings.HasPrefix(rest, "[")) {
		n, err := strconv.ParseUint(rest[i+1:], 10, 16)
		if err != nil || n == 0 {
			return q, &usageError{msg: fmt.Sprintf("%q is not a port", rest[i+1:]), hint: "a port is a number from 1 to 65535"}
		}
		rest, port = rest[:i], uint16(n)
	}
	if port == 0 {
		return q, &usageError{msg: fmt.Sprintf("%q needs a port", text), hint: hint}
	}
	h, err := profile.ParseHost(rest)
	if err != nil {
		return q, &usageError{msg: fmt.Sprintf("%q is not a host", rest), hint: hint}
	}
	q.Host, q.Port = h, port
	return q, nil
}

// answer asks the policy, and for an allowed name also which addresses it has.
func (p policy) answer(ctx context.Context, compiled *egress.Policy, q asked) answer {
	r := answer{Version: 1, Target: fmt.Sprintf("%s:%d", q.Host, q.Port)}
	n := p.effective.Profile.Network
	if n.Mode == launch.NoNetwork {
		r.Reason, r.Detail = egress.NotAllowed.String(), "the box has no network"
		r.point(p, "network.mode", n.Mode)
		return r
	}
	v := compiled.Decide(q.Query)
	r.take(p, v)
	if !v.OK() || n.UpstreamProxy != "" {
		return r
	}
	addrs := []netip.Addr{q.Host.Addr}
	if q.Host.Name != "" {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		var err error
		if addrs, err = egress.HostLookup(ctx, q.Host.Name); err != nil {
			r.Detail = "its name cannot be resolved here"
			return r
		}
	}
	var refused egress.Verdict
	for _, a := range addrs {
		if at := compiled.Address(q.Host, q.Port, a); at.OK() {
			r.Addresses = append(r.Addresses, a.Unmap().String())
		} else if refused = at; refused.Detail != "" {
			refused.Detail = fmt.Sprintf("%s has the address %s (%s)", q.Host, a, at.Detail)
		}
	}
	if len(r.Addresses) == 0 {
		r.take(p, refused)
	}
	return r
}

func (r *answer) take(p policy, v egress.Verdict) {
	r.Allowed, r.Reason, r.Detail = v.OK(), v.Reason.String(), v.Detail
	r.Rule, r.Entry, r.File, r.Line = "", "", "", 0
	if v.Rule != "" {
		r.point(p, v.Rule, v.Entry)
	}
}

// point names the line behind a key of the merged profile.
func (r *answer) point(p policy, key, entry string) {
	r.Rule, r.Entry = key, entry
	if o, ok := p.effective.Origins[key]; ok {
		r.Rule, r.File, r.Line = o.Key, o.Layer, o.Line
	}
}

func (c *caller) explainReason(r answer) {
	word := "refused"
	if r.Allowed {
		word = "allowed"
	}
	rows := [][]string{{word, r.Target}}
	switch {
	case r.Rule != "":
		text := r.Rule
		if r.Entry != "" {
			text += fmt.Sprintf(" = %q", r.Entry)
		}
		at := r.File
		if r.Line > 0 {
			at += ":" + strconv.Itoa(r.Line)
		}
		rows = append(rows, []string{"by", text + "  " + at})
	case !r.Allowed:
		rows = append(rows, []string{"by", "no entry of network.allow names it"})
	}
	if r.Detail != "" {
		rows = append(rows, []string{"detail", r.Detail})
	}
	if len(r.Addresses) > 0 {
		rows = append(rows, []string{"at", strings.Join(r.Addresses, " ")})
	}
	if r.Inspected {
		rows = append(rows, []string{"read", "agentbox reads the TLS"})
	}
	if len(r.Credentials) > 0 {
		rows = append(rows, []string{"with", strings.Join(r.Credentials, ", ")})
	}
	if !r.Allowed && r.Reason == egress.NotAllowed.String() {
		rows = append(rows, []string{"to allow", fmt.Sprintf("--allow-host %s, or %q in network.allow", strings.TrimSuffix(r.Target, ":443"), strings.TrimSuffix(r.Target, ":443"))})
	}
	c.voice.table(false, rows)
}
