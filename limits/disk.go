package limits

import (
	"golang.org/x/sys/unix"

	"agentbox/profile"
)

// A Medium is what the writes of an overlay lie on.
type Medium string

// The media. The zero value is none of them: there is no overlay.
const (
	OnDirectory Medium = "directory" // of the session; nothing but a watch bounds it
	OnImage     Medium = "image"     // an ext4 of a fixed size, in a file of the session's directory
	OnTmpfs     Medium = "tmpfs"     // memory, which the supervisor copies to the session's directory at the end
)

// Writes say where an overlay keeps what the agent writes, and how much of it there may be.
type Writes struct {
	Medium Medium `json:"medium"`
	Bytes  uint64 `json:"bytes,omitempty"`  // 0: no limit
	Inodes uint64 `json:"inodes,omitempty"` // files, directories, links and everything else that has a name
}

// DiskHost is what the decision about limits.disk depends on.
type DiskHost struct {
	NoImage string `json:"no_image,omitempty"` // why this caller can have no file system in a file; "" is that it can
	NoTmpfs string `json:"no_tmpfs,omitempty"` // why an overlay cannot keep its writes in memory here
}

// A MisusedError says that the profile limits what nobody could hold.
type MisusedError struct{ Name, Why string }

func (e *MisusedError) Error() string { return "limits." + e.Name + ": " + e.Why }

// Of the inodes there is one for so many bytes of the limit, as mkfs.ext4(8) counts, and never fewer than a project of
// some size needs.
const (
	bytesPerInode = 16 << 10
	fewestInodes  = 10_000
)

func inodes(bytes uint64) uint64 { return max(bytes/bytesPerInode, fewestInodes) }

// disk decides where an overlay's writes lie and who bounds them. It returns why the kernel cannot, or "".
func (p *Plan) disk(l profile.Limits, w profile.Workspace, h DiskHost) (unheld string, err error) {
	bytes := uint64(max(l.Disk, 0))
	switch {
	case w.Mode == "overlay" && w.Upper == "tmpfs":
	case bytes == 0:
		return "", nil
	case w.Mode == "overlay":
	case w.Mode == "rw":
		return "", &MisusedError{Disk, `nobody can tell the agent's writes from others in a workspace of mode "rw"; mode "overlay" keeps them apart`}
	default:
		p.hold(Disk, l.Disk.String(), Enforced, "a workspace that cannot be written")
		return "", nil
	}
	p.Writes = &Writes{Medium: OnDirectory, Bytes: bytes}
	if bytes > 0 {
		p.Writes.Inodes = inodes(bytes)
	}
	switch {
	case w.Upper == "tmpfs":
		p.Writes.Medium = OnTmpfs
		if bytes > 0 {
			p.hold(Disk, l.Disk.String(), Enforced, "the size of a tmpfs")
		}
	case h.NoImage == "":
		p.Writes.Medium = OnImage
		p.hold(Disk, l.Disk.String(), Enforced, "the size of a file system of its own")
	default:
		p.Rlimits = append(p.Rlimits, Rlimit{unix.RLIMIT_FSIZE, bytes})
		p.hold(Disk, l.Disk.String(), Watched, "the supervisor, every 200 ms, and RLIMIT_FSIZE")
		return h.NoImage, nil
	}
	return "", nil
}
