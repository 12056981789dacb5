package launch

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
	"agentbox/internal/capture"
	"agentbox/mounts"
	"agentbox/profile"
)

// NoNetwork is the mode of a box that has a loopback and nothing else.
const NoNetwork = "none"

// A Network is what the box's side of network.mode = "allowlist" consists of, to be served by the caller: every
// connection and name query of the box, and the doors that the profile opens besides.
type Network struct {
	*capture.Namespace
	Forwards []Forward

	channel *boxinit.Network
}

// A Forward is a listener in the box for an entry of network.forward, or for a credential.
type Forward struct {
	Target     string // the entry
	Credential string // whose host is behind it; "" is the target itself
	Listener   net.Listener
}

// Close ends what listens in the box.
func (n *Network) Close() {
	if n.Namespace != nil {
		n.Namespace.Close()
	}
	for _, f := range n.Forwards {
		f.Listener.Close()
	}
	n.channel.Close()
}

// Dial connects to a port of the box's loopback. Servers for development often listen on only one of its addresses.
func (n *Network) Dial(port uint16) (net.Conn, error) {
	c, err := n.dial(unix.AF_INET, &unix.SockaddrInet4{Port: int(port), Addr: [4]byte{127, 0, 0, 1}})
	if errors.Is(err, unix.ECONNREFUSED) {
		if c6, err6 := n.dial(unix.AF_INET6, &unix.SockaddrInet6{Port: int(port), Addr: netip.IPv6Loopback().As16()}); err6 == nil {
			return c6, nil
		}
	}
	return c, err
}

func (n *Network) dial(family int, to unix.Sockaddr) (net.Conn, error) {
	f, err := n.channel.Socket(family)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// A connection over a loopback succeeds or fails at once, unless the server's backlog is full.
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, err
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, to); err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	return net.FileConn(f)
}

// online says that the box has a network to be served.
func (p Plan) online() bool { return p.Network.Mode != NoNetwork && p.Network.Mode != "" }

// A NetworkPlan is what of the profile decides how the box's network namespace is set up. What may leave it is not the
// box's concern.
type NetworkPlan struct {
	Mode        string           `json:"mode"`
	Forward     []string         `json:"forward,omitempty"`
	Publish     []string         `json:"publish,omitempty"`
	Inspected   []string         `json:"inspected,omitempty"`   // hosts whose TLS is read
	Credentials []CredentialPlan `json:"credentials,omitempty"` // of which the agent learns something
}

// A CredentialPlan is what the agent learns of a credential.
type CredentialPlan struct {
	Name       string `json:"name"`
	Env        string `json:"env,omitempty"`          // holds the placeholder
	BaseURLEnv string `json:"base_url_env,omitempty"` // holds BaseURL, which leads to the host
	BaseURL    string `json:"base_url,omitempty"`
	SocketEnv  string `json:"socket_env,omitempty"` // holds Socket
	Socket     string `json:"socket,omitempty"`     // a unix socket of the box that leads to the host
}

func networkPlan(prof profile.Profile) NetworkPlan {
	n := prof.Network
	plan := NetworkPlan{Mode: n.Mode}
	if n.Mode == NoNetwork {
		return plan
	}
	plan.Forward, plan.Publish, plan.Inspected = n.Forward, n.Publish, prof.Inspected()
	for _, c := range prof.Credentials {
		p := CredentialPlan{Name: c.Name, Env: c.Env, BaseURLEnv: c.BaseURLEnv, SocketEnv: c.SocketEnv}
		switch {
		case c.BaseURLEnv == "":
		case c.SocketEnv != "":
			p.BaseURL = "http://localhost" + c.BaseURLPath
		default:
			p.BaseURL = "http://127.0.0.1:" + strconv.Itoa(capture.ProxyPort) + "/" + c.Name + c.BaseURLPath
		}
		if c.SocketEnv != "" {
			p.Socket = mounts.SocketDir + "/" + c.Name + ".sock"
		}
		if c.Env != "" || c.BaseURLEnv != "" || c.SocketEnv != "" {
			plan.Credentials = append(plan.Credentials, p)
		}
	}
	return plan
}

// listeners are what else listens in the box: entries of network.forward, and the sockets of credentials.
func (p NetworkPlan) listeners() []Forward {
	var list []Forward
	for _, f := range p.Forward {
		list = append(list, Forward{Target: f})
	}
	for _, c := range p.Credentials {
		if c.Socket != "" {
			list = append(list, Forward{Target: profile.UnixForward + c.Socket, Credential: c.Name})
		}
	}
	return list
}

// ownSockets are the hook's, those of the capture and one for each forward, in its order.
func (p Plan) ownSockets() []boxinit.Socket {
	var list []boxinit.Socket
	if p.Hook {
		list = append(list, boxinit.Socket{Family: unix.AF_UNIX, Type: unix.SOCK_STREAM, Path: boxinit.HookSocket})
	}
	if !p.online() {
		return list
	}
	for _, s := range capture.Sockets() {
		list = append(list, boxinit.Socket{Family: s.Family, Type: s.Type, Protocol: s.Protocol})
	}
	for _, l := range p.Network.listeners() {
		f := l.Target
		if path, ok := strings.CutPrefix(f, profile.UnixForward); ok {
			list = append(list, boxinit.Socket{Family: unix.AF_UNIX, Type: unix.SOCK_STREAM, Path: path})
			continue
		}
		family := unix.AF_INET
		if a, err := profile.ForwardAddr(f); err == nil && a.Addr().Is6() {
			family = unix.AF_INET6
		}
		list = append(list, boxinit.Socket{Family: family, Type: unix.SOCK_STREAM})
	}
	return list
}

// makeNetwork makes the channel over which the box's side hands out its sockets; it comes last of what it inherits.
func (b *Box) makeNetwork(f *boxFiles, in *boxinit.Instructions) error {
	if !b.plan.online() && !b.plan.Hook {
		return nil
	}
	var err error
	if b.channel, f.network, err = boxinit.NetworkPair(); err != nil {
		return err
	}
	in.Network = uint32(boxinit.FirstMount + b.plan.ownCount() + len(f.tasks))
	in.Sockets = b.plan.ownSockets()
	return nil
}

// openSockets takes what PID 1 makes for the supervisor while the box is being made, and has the caller serve it.
func (b *Box) openSockets(label Label) error {
	if !b.plan.online() && !b.plan.Hook {
		return nil
	}
	layer, err := b.receiveSockets(label)
	if err == nil || errors.Is(err, io.EOF) { // PID 1 has ended, and says why
		return nil
	}
	var missing *MissingError
	if errors.As(err, &missing) {
		return err
	}
	return &MissingError{Layer: layer, Err: err}
}

// receiveSockets takes them in PID 1's order: those with a path wait for the box's root, or for its mounts.
func (b *Box) receiveSockets(label Label) (layer string, err error) {
	n := &Network{channel: b.channel}
	if b.plan.online() {
		b.network = n
		if err := n.receive(b.plan.Network.listeners()); err != nil {
			return "network", err
		}
	}
	if b.plan.Hook {
		if err := b.openHook(label.Hook); err != nil {
			return "hook", err
		}
	}
	if !b.plan.online() {
		return "", nil
	}
	if err := n.receiveForwards(b.plan.Network.listeners(), true); err != nil {
		return "network", err
	}
	if n.Lacks != nil && !slices.Contains(b.plan.degrade, profile.DegradeCapture) {
		return "capture", &MissingError{Layer: profile.DegradeCapture, Err: n.Lacks,
			Remedy: `load the kernel's nf_tables and nft_redir, or let the layer go: agent.degrade = ["capture"] leaves the proxy to clients that know one`}
	}
	if label.Network == nil {
		return "network", errors.New("nobody serves it")
	}
	return "network", label.Network(n)
}

// openHook has the caller answer the agent's hook.
func (b *Box) openHook(serve func(net.Listener) error) error {
	if serve == nil {
		return errors.New("nobody answers it")
	}
	f, err := b.channel.Receive()
	if err != nil {
		return err
	}
	l, err := listen(f)
	if err != nil {
		return err
	}
	return serve(l)
}

func (n *Network) receive(forwards []Forward) error {
	var files []*os.File
	var errs []error
	for range capture.Sockets() {
		f, err := n.channel.Receive()
		if errors.Is(err, io.EOF) {
			return err
		}
		files, errs = append(files, f), append(errs, err)
	}
	var err error
	if n.Namespace, err = capture.Open(files, errs); err != nil {
		return err
	}
	return n.receiveForwards(forwards, false)
}

// receiveForwards takes the listeners of forwards that have a path in the box, or of those that have none.
func (n *Network) receiveForwards(forwards []Forward, onPath bool) error {
	for i, f := range forwards {
		if strings.HasPrefix(f.Target, profile.UnixForward) != onPath {
			continue
		}
		if err := n.forward(f); err != nil && f.Credential != "" {
			return fmt.Errorf("credential %q: %w", f.Credential, err)
		} else if err != nil {
			return fmt.Errorf("network.forward[%d]: %w", i, err)
		}
	}
	return nil
}

func (n *Network) forward(to Forward) error {
	target := to.Target
	f, err := n.channel.Receive()
	if err != nil {
		return err
	}
	if a, err := profile.ForwardAddr(target); err == nil {
		var at unix.Sockaddr = &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
		if a.Addr().Is4() {
			at = &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
		}
		if err := unix.Bind(int(f.Fd()), at); err != nil {
			f.Close()
			return fmt.Errorf("listen at %s in the box: %w", target, err)
		}
	}
	if to.Listener, err = listen(f); err != nil {
		return fmt.Errorf("listen at %s in the box: %w", target, err)
	}
	n.Forwards = append(n.Forwards, to)
	return nil
}

// listen takes over a socket of the box.
func listen(f *os.File) (net.Listener, error) {
	defer f.Close()
	if err := unix.Listen(int(f.Fd()), unix.SOMAXCONN); err != nil {
		return nil, err
	}
	l, err := net.FileListener(f)
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // its path is the box's
	}
	return l, err
}

// Sets reports whether a variable of the box tells programs about its network; its value then is the box's own.
func (p Plan) Sets(name string) bool {
	vars := map[string]string{}
	p.networkVariables(vars)
	_, ok := vars[name]
	return ok
}

// networkVariables are what clients that use a proxy look for, in the spellings that they know (Node's own fetch looks
// only where NODE_USE_ENV_PROXY says so), and where programs are told whom to trust.
func (p Plan) networkVariables(vars map[string]string) {
	if !p.online() {
		return
	}
	proxy := "http://127.0.0.1:" + strconv.Itoa(capture.ProxyPort)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		vars[name], vars[strings.ToLower(name)] = proxy, proxy
	}
	const direct = "localhost,127.0.0.1,::1"
	vars["NO_PROXY"], vars["no_proxy"] = direct, direct
	vars["NODE_USE_ENV_PROXY"] = "1"
	for _, c := range p.Network.Credentials {
		c.variables(vars)
	}
	if !p.host.Files.OwnAuthorities() {
		return
	}
	for _, name := range authorityVariables {
		vars[name] = mounts.AuthorityFile
	}
	if len(p.Network.Inspected) > 0 {
		vars["SSL_CERT_DIR"] = mounts.AuthorityDir + ":/etc/ssl/certs"
	}
}

// variables are those of one credential. A stand-in is put in the placeholder's place when the box starts.
func (c CredentialPlan) variables(vars map[string]string) {
	if c.Env != "" {
		vars[c.Env] = c.holder()
	}
	if c.SocketEnv != "" {
		vars[c.SocketEnv] = c.Socket
	}
	if c.BaseURLEnv != "" {
		vars[c.BaseURLEnv] = c.BaseURL
	}
}

func (c CredentialPlan) holder() string { return "<placeholder of " + c.Name + ">" }
