package mounts

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// etcNames is the part of /etc that programs need. No account database, no sudoers, no keys, no configuration of
// clients that may hold tokens.
var etcNames = []string{
	"alternatives", "alpine-release", "bash.bashrc", "bash_completion.d", "bashrc", "ca-certificates", "ca-certificates.conf",
	"crypto-policies", "debian_version", "ethertypes", "fedora-release", "fonts", "gai.conf", "host.conf", "inputrc",
	"java", "java-11-openjdk", "java-17-openjdk", "java-21-openjdk", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
	"locale.alias", "locale.conf", "localtime", "login.defs", "lsb-release", "magic", "magic.mime", "mime.types",
	"nanorc", "networks", "nsswitch.conf", "openssl", "os-release", "perl", "pki", "profile", "profile.d", "protocols",
	"python3", "redhat-release", "rpc", "services", "shells", "ssl", "system-release", "terminfo", "timezone", "vim", "xdg",
}

// etcSecrets lie below names of the list and stay out of the box.
var etcSecrets = []string{"/etc/ssl/private", "/etc/pki/tls/private", "/etc/pki/CA/private", "/etc/pki/rpm-gpg/private"}

// EtcSecrets are paths whose existence Host.Exists has to tell.
func EtcSecrets() []string { return etcSecrets }

// AuthorityFile is where the box has the host's authorities, those of network.extra_ca and the session's own.
const AuthorityFile = "/etc/agentbox/ca.pem"

// AuthorityDir is where the box has the session's own authority under the name by which OpenSSL looks for it.
const AuthorityDir = "/etc/agentbox/certs"

// etcCopyLimit is the largest file that is copied; a larger one is bound: a mount costs what copying some pages does.
const etcCopyLimit = 8 << 10

// shadowNames never enter a box, also not from a directory that serves as the root.
var shadowNames = []string{"shadow", "shadow-", "gshadow", "gshadow-", "sudoers", "sudoers.d", "ssh", "machine-id", "ld.so.preload", "claude-code"}

// EtcName tells which names of /etc are shown of a tree: of the host's a list, of a directory that serves as the root
// all but those that no box has.
func EtcName(source string) func(name string) bool {
	if source == "/" {
		return func(name string) bool { return slices.Contains(etcNames, name) }
	}
	return func(name string) bool { return !slices.Contains(shadowNames, name) }
}

func (b *builder) etc() {
	synthetic, wanted := b.syntheticEtc(), EtcName(b.host.Source)
	for _, e := range b.host.Etc {
		p := "/etc/" + e.Name
		named := wanted(e.Name)
		_, made := synthetic[e.Name]
		source := path.Join(b.host.Source, "etc", e.Name)
		switch {
		case !named || made || e.Name == "mtab":
		case e.Kind == Link:
			b.node(Node{Path: p, Kind: NodeLink, Target: e.Target})
		case !e.Public:
		case e.Kind == Dir:
			b.bind(Mount{Source: source, Target: p, Options: readOnlyBind, Why: "rootfs.source"})
		case e.Kind == File && e.Size <= etcCopyLimit:
			b.node(Node{Path: p, Kind: NodeFile, Source: source, Mode: 0o644})
		case e.Kind == File:
			b.files[source] = true
			b.mount(Mount{Type: "bind", Source: source, Target: p, Options: readOnlyBind, Why: "rootfs.source"})
		}
	}
	for name, content := range synthetic {
		b.file("/etc/"+name, content, 0o644)
	}
	b.authorities()
	b.node(Node{Path: "/etc/mtab", Kind: NodeLink, Target: "/proc/self/mounts"})
	for _, p := range etcSecrets {
		if b.host.Exists[path.Join(b.host.Source, p)] {
			b.cover(p, "box")
		}
	}
}

// authorities gives the box a file of all that its programs are to trust, also where they look without being told.
func (b *builder) authorities() {
	if !b.host.OwnAuthorities() {
		return
	}
	b.node(Node{Path: AuthorityFile, Kind: NodeFile, Source: b.host.Bundle, Content: b.host.ExtraCA, Mode: 0o644})
	if b.host.Inspects {
		b.dir(AuthorityDir)
	}
	source := InBox + AuthorityFile
	b.files[source] = true
	for _, p := range b.host.Bundles {
		b.bind(Mount{Source: source, Target: p, Options: readOnlyBind, Why: "network"})
	}
}

// syntheticEtc are the files that would tell about the host or its people.
func (b *builder) syntheticEtc() map[string]string {
	uid, gid, _ := strings.Cut(b.profile.Agent.User, ":")
	return map[string]string{
		"passwd": fmt.Sprintf("root:x:0:0:root:/root:/usr/sbin/nologin\nagent:x:%s:%s:agent:%s:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
			uid, gid, b.host.Home),
		"group":       fmt.Sprintf("root:x:0:\ntty:x:5:\nagent:x:%s:\nnogroup:x:65534:\n", gid),
		"hosts":       "127.0.0.1\tlocalhost " + b.host.Hostname + "\n::1\tlocalhost ip6-localhost ip6-loopback\n",
		"hostname":    b.host.Hostname + "\n",
		"machine-id":  b.host.MachineID + "\n",
		"resolv.conf": b.resolvConf(),
	}
}

// resolvConf names the resolver that egress answers at. It needs no search list: an unqualified name is no host here.
func (b *builder) resolvConf() string {
	if b.profile.Network.Mode == "allowlist" {
		return "nameserver 127.0.0.1\nnameserver ::1\noptions timeout:10 attempts:2\n"
	}
	return "# network.mode = \"none\": no name can be resolved\n"
}
