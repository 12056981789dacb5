package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"

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
	names   []audit.Text // what "@npm" and its kin stand for
	box     atomic.Pointer[launch.Box]
	lacks   error // why connections are not captured
}

// network prepares what serves the box's network. What fails here fails before anything of the box exists.
func (c *caller) network(ctx context.Context, p policy, record *recorder) (*network, error) {
	n := &network{plan: p.effective.Profile.Network, record: record}
	if n.plan.Mode == launch.NoNetwork {
		return n, nil
	}
	compiled, missing, names, err := p.egress(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range missing {
		c.voice.warnf("%s", m)
	}
	n.names = names
	upstream, err := p.upstream(ctx)
	if err != nil {
		return nil, err
	}
	n.gateway = egress.New(egress.Options{Policy: compiled, Upstream: upstream, Record: n.append})
	return n, nil
}

func (n *network) append(e audit.Event) error {
	if n.record.log == nil {
		return nil
	}
	return n.record.log.Append(e)
}

// egress compiles the profile's lists, with what the host's own tools call their registries. missing says which words
// stand for nothing here.
func (p policy) egress(ctx context.Context) (compiled *egress.Policy, missing []string, names []audit.Text, err error) {
	n := p.effective.Profile.Network
	var words []string
	for _, list := range [][]string{n.Allow, n.Deny} {
		for _, entry := range list {
			if strings.HasPrefix(entry, "@") && !slices.Contains(words, entry) {
				words = append(words, entry)
			}
		}
	}
	for _, r := range n.Rules {
		if strings.HasPrefix(r.Host, "@") && !slices.Contains(words, r.Host) {
			words = append(words, r.Host)
		}
	}
	registries := map[string][]egress.Endpoint{}
	names = []audit.Text{}
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
				names = append(names, audit.Text(fmt.Sprintf("%s %s:%d", word, e.Host, e.Port)))
			}
		}
	}
	compiled, err = egress.Compile(n, registries, egress.OwnAddresses())
	return compiled, missing, names, err
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
		reader := secret.Reader{Env: os.LookupEnv, Home: p.host.Files.Home, Workspace: p.host.Files.Workspace.Path, Path: p.hostPath()}
		var err error
		if auth, err = reader.Read(ctx, n.UpstreamAuth); err != nil {
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
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	pool.AppendCertsFromPEM([]byte(p.host.Files.ExtraCA))
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
		box.Forwards = append(box.Forwards, egress.Forward{Target: f.Target, Listener: f.Listener})
	}
	n.lacks = inside.Lacks
	start := &audit.NetworkStart{Captured: n.lacks == nil, Registries: n.names, Published: audit.Texts(n.plan.Publish), Forwarded: audit.Texts(n.plan.Forward)}
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

func (n *network) owner(inside *launch.Network, c *capture.Conn) (int, []string, error) {
	box := n.box.Load()
	if box == nil {
		return 0, nil, errors.New("the box is not there yet")
	}
	inode, err := inside.Inode(c)
	if err != nil {
		return 0, nil, err
	}
	return box.Owner(inode)
}

// close ends the way out. Connections that were open are on the record when it returns.
func (n *network) close() {
	if n != nil && n.gateway != nil {
		n.gateway.Close()
	}
}
