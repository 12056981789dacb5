package launch

import (
	"runtime"

	"golang.org/x/net/bpf"

	"agentbox/internal/boxinit"
	"agentbox/internal/seccomp"
)

// instructions tell the box's side how to become the agent.
func (p Plan) instructions(ids idPlan) (*boxinit.Instructions, error) {
	in := &boxinit.Instructions{
		Args: p.Command, Env: p.Env, Dir: p.Dir, Terminal: p.Terminal, Umask: p.host.Umask,
		UID: p.UID, GID: p.GID, OuterUID: ids.outerUID, OuterGID: ids.outerGID,
		Nested: p.IDs != IDRange, InnerRoot: p.IDs == IDMapped, Landlock: p.landlock(), Programs: p.Programs,
	}
	if p.Seccomp {
		var err error
		if in.AgentFilter, err = seccomp.Agent(p.filter()); err != nil {
			return nil, err
		}
		if in.InitFilter, err = p.initFilter(); err != nil {
			return nil, err
		}
	}
	for _, d := range p.Files.Dirs {
		dir := boxinit.Dir{Path: d, Mode: 0o755, UID: ids.outerUID, GID: ids.outerGID}
		in.Dirs = append(in.Dirs, dir)
	}
	p.plant(in, ids)
	in.Masks = p.masks()
	in.Mounts = p.boxMounts(ids.mounts)
	p.takeLimits(in)
	return in, nil
}

func (p Plan) initFilter() ([]bpf.RawInstruction, error) {
	return seccomp.Init(seccomp.Options{Arch: runtime.GOARCH, Sockets: len(p.Network.Publish) > 0})
}
