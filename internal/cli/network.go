package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"agentbox/internal/audit"
	"agentbox/internal/capture"
	"agentbox/internal/egress"
	"agentbox/internal/registry"
	"agentbox/internal/secret"
	"agentbox/launch"
	"agentbox/profile"
)

// A network is the way out of one box, from the moment on when the profile is decided. The zero value is that of a box
// without one.
type network struct {
	plan    profile.Network
	gateway *egress.Gateway
	record  *recorder
	names   []audit.Text     // what "@npm" and its kin stand for
	box     chan *launch.Box // gives it, once it is there
	lacks   error            // why connections are not captured

	inspected []audit.Text // hosts whose TLS is read
	stand     launch.StandIns
	sources   []*secret.Source
	spent     *spending
	once      sync.Once // of close
}

// network prepares what serves the box's network. What fails here fails before anything of the box exists.
func (c *caller) network(ctx context.Context, p policy, record *recorder, full *fullness) (*network, error) {
	n := &network{plan: p.effective.Profile.Network, record: record, box: make(chan *launch.Box, 1), inspected: audit.Texts(p.plan.Network.Inspected)}
	if n.plan.Mode == launch.NoNetwork {
		n.stand.Seeds = p.seeds(nil)
		return n, nil
	}
	compiled, registries, missing, err := p.egress(ctx)
	if err != nil {
		return n, err
	}
	for _, m := range missing {
		c.voice.warnf("%s", m)
	}
	n.names = registryNames(registries)
	o := egress.Options{Policy: compiled, Registries: registries, Record: n.append}
	if o.Upstream, err = p.upstream(ctx); err != nil {
		return n, err
	}
	if o.Roots, err = p.roots(); err != nil {
		return n, err
	}
	if o.Credentials, err = n.open(ctx, p); err != nil {
		return n, err
	}
	n.stand.Seeds = p.seeds(n.stand.Placeholders)
	if o.Authority, err = p.authority(compiled); err != nil {
		return n, err
	}
	if o.Authority != nil {
		n.stand.Authority, n.stand.HashName = string(o.Authority.PEM()), o.Authority.HashName()
	}
	o.Placeholders = n.stand.Placeholders
	n.spent = c.spending(p, record, full)
	o.Budget = n.spent.budget(p.effective.Profile)
	n.gateway, err = egress.New(o)
	return n, err
}

func (n *network) append(e audit.Event) error {
	if n.record.log == nil {
		return nil
	}
	return n.record.log.Append(e)
}

// egress compiles the profile's lists, with what the host's own tools call their registries. missing says which words
// stand for nothing here.
func (p policy) egress(ctx context.Context) (compiled *egress.Policy, registries map[string][]egress.Endpoint, missing []string, err error) {
	n := p.effective.Profile.Network
	inspected := p.effective.Profile.Inspected()
	var words []string
	for _, entry := range slices.Concat(n.Allow, n.Deny, inspected) {
		if strings.HasPrefix(entry, "@") && !slices.Contains(words, entry) {
			words = append(words, entry)
		}
	}
	for _, r := range n.Rules {
		if strings.HasPrefix(r.Host, "@") && !slices.Contains(words, r.Host) {
			words = append(words, r.Host)
		}
	}
	registries = map[string][]egress.Endpoint{}
	if len(words) > 0 {
		asker := registry.Asker{Path: p.hostPath(), Workspace: p.host.Files.Workspace.Path, Home: p.host.Files.Home, Env: p.host.Env, Dir: "/"}
		results := asker.All(ctx, words)
		for _, word := range words {
			r := results[word]
			switch {
			case r.Err == nil:
			case p.narrows(word):
				return nil, nil, nil, &plainError{err: fmt.Errorf("%s stands for no host here, and the profile denies or narrows what it stands for: %w", word, r.Err),
					hint: "name the hosts"}
			default:
				missing = append(missing, fmt.Sprintf("%s stands for no host here: %s", word, r.Err))
			}
			for _, e := range r.Endpoints {
				registries[word] = append(registries[word], egress.Endpoint{Host: e.Host, Port: e.Port})
			}
		}
	}
	compiled, err = egress.Compile(n, inspected, registries, egress.OwnAddresses())
	return compiled, registries, missing, err
}

// registryNames are what words stand for, for the record.
func registryNames(registries map[string][]egress.Endpoint) []audit.Text {
	names := []audit.Text{}
	for _, word := range slices.Sorted(maps.Keys(registries)) {
		for _, e := range registries[word] {
			names = append(names, audit.Text(fmt.Sprintf("%s %s:%d", word, e.Host, e.Port)))
		}
	}
	return names
}

// narrows says that the profile takes something away by a word: without its hosts, more would be allowed than it says.
func (p policy) narrows(word string) bool {
	n := p.effective.Profile.Network
	return slices.Contains(n.Deny, word) || slices.ContainsFunc(n.Rules, func(r profile.NetworkRule) bool { return r.Host == word })
}

func (p policy) hostPath() []string { return strings.Split(os.Getenv("PATH"), ":") }

// upstream is the proxy that the profile names, or nil.
func (p policy) upstream(ctx context.Context) (*egress.Upstream, error) {
	n := p.effective.Profile.Network
	if n.UpstreamProxy == "" {
		return nil, nil
	}
	var auth string
	if n.UpstreamAuth != "" {
		var err error
		if auth, err = p.secrets().Read(ctx, n.UpstreamAuth); err != nil {
			return nil, p.located(profile.Findings{{Key: "network.upstream_proxy_auth", Message: err.Error()}})
		}
	}
	roots, err := p.roots()
	if err != nil {
		return nil, err
	}
	up, err := egress.NewUpstream(n.UpstreamProxy, auth, roots)
	if err != nil {
		return nil, p.located(profile.Findings{{Key: "network.upstream_proxy", Message: err.Error()}})
	}
	return up, nil
}

// roots are the host's authorities and those of network.extra_ca; nil are the host's alone.
func (p policy) roots() (*x509.CertPool, error) {
	if p.host.Files.ExtraCA == "" {
		return nil, nil
	}
	return rootsWith(p.host.Files.ExtraCA)
}

// rootsWith are the host's authorities and some more.
func rootsWith(pem string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	pool.AppendCertsFromPEM([]byte(pem))
	return pool, nil
}

// serve is asked by launch while the box is being made.
func (n *network) serve(inside *launch.Network) error {
	box := egress.Box{Proxy: inside.Proxy, DNS: inside.DNS, Publish: n.plan.Publish, Dial: inside.Dial,
		Owner: func(c *capture.Conn) (int, []string, error) { return n.owner(inside, c) }}
	for _, l := range inside.TCP {
		box.TCP = append(box.TCP, l)
	}
	for _, f := range inside.Forwards {
		box.Forwards = append(box.Forwards, egress.Forward{Target: f.Target, Credential: f.Credential, Listener: f.Listener})
	}
	n.lacks = inside.Lacks
	start := &audit.NetworkStart{Captured: n.lacks == nil, Registries: n.names, Published: audit.Texts(n.plan.Publish), Forwarded: audit.Texts(n.plan.Forward),
		Inspected: n.inspected}
	if n.lacks != nil {
		start.Lacks = audit.Text(n.lacks.Error())
	}
	if err := n.append(start); err != nil && !n.record.goesOn {
		return err
	}
	if err := n.gateway.Serve(box); err != nil {
		return &startError{err: err, hint: "see what holds it with \"ss -ltnp\", or publish another port"}
	}
	return nil
}

// startTime is how long a box takes at most from the agent's first instruction on to be known here.
const startTime = time.Second

func (n *network) owner(inside *launch.Network, c *capture.Conn) (int, []string, error) {
	inode, err := inside.Inode(c)
	if err != nil {
		return 0, nil, err
	}
	select { // the agent may be quicker than we are
	case box := <-n.box:
		n.box <- box
		return box.Owner(inode)
	case <-time.After(startTime):
		return 0, nil, errors.New("the box is not there yet")
	}
}

// close ends the way out. Connections that were open are on the record when it returns.
func (n *network) close() {
	if n == nil {
		return
	}
	n.once.Do(func() {
		if n.gateway != nil {
			n.gateway.Close()
		}
		for _, s := range n.sources {
			s.Close()
		}
	})
}
