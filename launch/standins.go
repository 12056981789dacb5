package launch

import "agentbox/mounts"

// StandIns are what the box of one session holds in place of what stays outside.
type StandIns struct {
	Placeholders map[string]string // by credential
	Authority    string            // the certificate of the session's own authority, in PEM form; "" where no TLS is read
	HashName     string            // the name under which OpenSSL looks for it in a directory
}

// Equip puts the stand-ins of a session into its plan.
func (p *Plan) Equip(s StandIns) {
	values := map[string]string{}
	for _, c := range p.Network.Credentials {
		if c.Env != "" {
			values[c.Env+"="+c.holder()] = c.Env + "=" + s.Placeholders[c.Name]
		}
	}
	for i, kv := range p.Env {
		if v, ok := values[kv]; ok {
			p.Env[i] = v
		}
	}
	if s.Authority == "" {
		return
	}
	for i, n := range p.Files.Skeleton {
		if n.Path == mounts.AuthorityFile {
			p.Files.Skeleton[i].Content += s.Authority
		}
	}
	p.Files.Skeleton = append(p.Files.Skeleton, mounts.Node{Path: mounts.AuthorityDir + "/" + s.HashName, Kind: mounts.NodeFile, Mode: 0o644, Content: s.Authority})
}
