package launch

import (
	"path"
	"slices"

	"agentbox/internal/boxinit"
	"agentbox/mounts"
)

// StandIns are what the box of one session holds in place of what stays outside.
type StandIns struct {
	Placeholders map[string]string // by credential
	Authority    string            // the certificate of the session's own authority, in PEM form; "" where no TLS is read
	HashName     string            // the name under which OpenSSL looks for it in a directory
	Seeds        []Seed            // files of the agent's home
}

// A Seed is a file that the agent finds in its home, and may change.
type Seed struct {
	Path    string // in the box
	Content string
}

// Equip puts the stand-ins of a session into its plan.
func (p *Plan) Equip(s StandIns) {
	p.settle(s.Placeholders)
	p.seeds = slices.DeleteFunc(slices.Clone(s.Seeds), func(f Seed) bool { return !p.plantable(f.Path) })
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

// settle puts placeholders into the environment, and takes away what a credential would have that has none.
func (p *Plan) settle(placeholders map[string]string) {
	values, gone := map[string]string{}, map[string]bool{}
	var kept []CredentialPlan
	for _, c := range p.Network.Credentials {
		holder, there := placeholders[c.Name]
		if there {
			kept = append(kept, c)
		}
		own := map[string]string{}
		c.variables(own)
		for name, v := range own {
			if kv := name + "=" + v; !there {
				gone[kv] = true
			} else if name == c.Env {
				values[kv] = name + "=" + holder
			}
		}
	}
	p.Network.Credentials = kept
	p.Env = slices.DeleteFunc(slices.Clone(p.Env), func(kv string) bool { return gone[kv] })
	for i, kv := range p.Env {
		if v, ok := values[kv]; ok {
			p.Env[i] = v
		}
	}
}

// plantable reports whether a file of the home lies on the box's own tmpfs: what the profile mounts there is somebody's.
func (p Plan) plantable(file string) bool {
	over := ""
	for _, m := range p.Files.Mounts {
		if mounts.Below(file, m.Target) && len(m.Target) >= len(over) {
			over = m.Target
		}
	}
	return over == p.Files.Home
}

// plant has PID 1 make the seeds, and the directories on their way.
func (p Plan) plant(in *boxinit.Instructions, ids idPlan) {
	for _, s := range p.seeds {
		for dir := path.Dir(s.Path); dir != p.Files.Home && mounts.Below(dir, p.Files.Home); dir = path.Dir(dir) {
			if !slices.ContainsFunc(in.Dirs, func(d boxinit.Dir) bool { return d.Path == dir }) {
				in.Dirs = append(in.Dirs, boxinit.Dir{Path: dir, Mode: 0o700, UID: ids.outerUID, GID: ids.outerGID})
			}
		}
		in.Seeds = append(in.Seeds, boxinit.Node{Kind: boxinit.NodeFile, Path: s.Path, Mode: 0o600, Content: []byte(s.Content)})
	}
	slices.SortFunc(in.Dirs, func(a, b boxinit.Dir) int { return len(a.Path) - len(b.Path) }) // parents first
}

// Manage puts a file into the box's root, where nobody in the box can change it.
func (p *Plan) Manage(file, content string) {
	for dir := path.Dir(file); !slices.ContainsFunc(p.Files.Skeleton, func(n mounts.Node) bool { return n.Path == dir }); dir = path.Dir(dir) {
		p.Files.Skeleton = append(p.Files.Skeleton, mounts.Node{Path: dir, Kind: mounts.NodeDir, Mode: 0o755})
	}
	p.Files.Skeleton = append(p.Files.Skeleton, mounts.Node{Path: file, Kind: mounts.NodeFile, Mode: 0o444, Content: content})
	mounts.SortNodes(p.Files.Skeleton)
}
