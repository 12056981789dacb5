package workspace

import (
	"errors"

	"golang.org/x/sys/unix"
)

// What a reader finds when an agent writes meanwhile.
var (
	errChanged  = errors.New("it changed while it was read")
	errVanished = errors.New("vanished while it was read")
	errNoFile   = errors.New("is not a regular file")
	errLive     = errors.New("the agent still writes: nothing can be applied")
)

// Live makes Review and FileDiff bear with an agent that still writes: what vanishes
// while they look is left out, what changes while it is read is named and not shown.
// Nothing is applied from such a review.
func (r *Roots) Live() {
	r.project.live = true
	if r.git != nil {
		r.git.live = true
	}
}

// passing reports an error that only says that an agent was faster. EINVAL is
// readlink's, for what was a link a moment ago.
func passing(err error) bool {
	return gone(err) || errors.Is(err, unix.EINVAL) || errors.Is(err, errChanged) || errors.Is(err, errVanished) || errors.Is(err, errNoFile)
}
