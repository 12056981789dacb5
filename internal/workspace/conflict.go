package workspace

import (
	"path"

	"golang.org/x/sys/unix"
)

// conflict says how the host changed what the agent changed too. No list of the
// host's files is made when a session begins. Instead:
//
//   - A host file whose change time is not before the beginning was written,
//     replaced or created meanwhile. Where the agent's file is a copy that the
//     overlay made after that, the agent saw it, and there is no conflict.
//   - A file that the overlay copied up, or that git knows, and that the host no
//     longer has, was removed meanwhile.
//   - What was applied before is compared with what apply left.
func (w *Workspace) conflict(c *Change) {
	if c.Refused != "" {
		return
	}
	if known, ok := w.left[cmpOr(c.From, c.Path)]; ok {
		if !known.equal(c.Before) {
			c.Conflict = "the host changed it since it was applied"
		}
		return
	}
	switch {
	case c.Before.Type == None:
		c.Conflict = w.vanished(c)
	case c.Before.Type == Dir: // what was made or removed in it has its own line
	case c.Before.id.Time < w.config.Began.UnixNano():
	case w.stagedAsBefore(c):
	case c.copied && w.copiedAfter(c):
	case c.copied && c.From == "":
		c.Conflict = "the host changed it since the agent's copy was made"
	default:
		c.Conflict = "the host changed it since the session began"
	}
	if c.Kind == Renamed && c.Conflict == "" {
		c.Conflict = w.taken(c.Path)
	}
}

// stagedAsBefore reports a git index that the host wrote anew without staging anything.
func (w *Workspace) stagedAsBefore(c *Change) bool {
	before, known := w.indexes[c.Path]
	return known && before == w.lower.staged(c.Path)
}

// stagesNothing reports a git index that differs in nothing but what git found on disk.
func (w *Workspace) stagesNothing(c *Change) bool {
	if c.Kind != Modified || !isIndex(w.config.As+c.Path) {
		return false
	}
	sum := w.upper.staged(c.Path)
	return sum != "" && sum == w.lower.staged(c.Path)
}

// taken reports that the host has something where a rename leads.
func (w *Workspace) taken(name string) string {
	up, base, err := w.lower.parent(name)
	if err != nil {
		return ""
	}
	defer up.close()
	if _, found, err := up.stat(base); found || err != nil {
		return "the host has made a file of that name"
	}
	return ""
}

// copiedAfter reports that the agent's copy of a file was begun after the host's
// last change. A kernel or filesystem that keeps no time of birth proves nothing.
func (w *Workspace) copiedAfter(c *Change) bool {
	up, base, err := w.upper.parent(c.Path)
	if err != nil {
		return false
	}
	defer up.close()
	var st unix.Statx_t
	err = unix.Statx(up.fd, base, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &st)
	return err == nil && st.Mask&unix.STATX_BTIME != 0 && st.Btime.Sec*1e9+int64(st.Btime.Nsec) > c.Before.id.Time
}

// vanished says that the agent's new file was the host's when the session began:
// the overlay copied it up, or git knows it, and its directory lost a name since.
func (w *Workspace) vanished(c *Change) string {
	if c.After.Type != File {
		return ""
	}
	up, _, err := w.lower.parent(c.Path)
	if err == nil {
		var st unix.Stat_t
		err = unix.Fstat(up.fd, &st)
		up.close()
		if err == nil && st.Mtim.Nano() < w.config.Began.UnixNano() {
			return ""
		}
	} else if !w.copiedDir(path.Dir(c.Path)) {
		return "" // the agent made the directory
	}
	if c.copied {
		return "the host removed it since the session began"
	}
	if w.config.Base == nil {
		return ""
	}
	if base, err := w.config.Base.Blob(c.Path); err == nil && base != nil {
		return "the host removed it since the session began; git still has it"
	}
	return ""
}

// copiedDir reports that a directory of the agent's is one of the host's.
func (w *Workspace) copiedDir(name string) bool {
	attrs, err := w.upper.xattrsOf(name)
	m := overlayMarks(attrs, w.config.Flavour)
	return err != nil || m.copied && m.opaque != "y"
}

// equal compares what lies at a path with what was left there.
func (s State) equal(other State) bool {
	if s.Type != other.Type {
		return false
	}
	switch s.Type {
	case File:
		return s.SHA256 == other.SHA256 && s.Mode&permissions == other.Mode&permissions
	case Symlink:
		return s.SHA256 == other.SHA256
	}
	return true
}
