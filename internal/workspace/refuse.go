package workspace

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// MaxFile is the size of the largest file that is reviewed and applied. A sparse
// file of any size costs an agent nothing to make.
const MaxFile = 16 << 30

// refuse says why a change is never written, whoever asks for it.
func (k *walker) refuse(c *Change) {
	if c.Refused == "" {
		c.Refused = k.reason(c)
	}
	if c.After.Type == Dir {
		if extra := c.After.Mode &^ c.Before.Mode & (unix.S_ISUID | unix.S_ISGID | unix.S_ISVTX); extra != 0 {
			c.Notes = append(c.Notes, "its set-id and sticky bits are not applied")
		}
	}
	if left := leftBehind(c.After.attr, c.Before.attr, k.flavour); len(left) > 0 {
		slices.Sort(left)
		for i := range left {
			left[i] = quote(left[i])
		}
		c.Notes = append(c.Notes, "not applied: attribute "+strings.Join(left, ", "))
	}
}

func (k *walker) reason(c *Change) string {
	setID := c.After.Mode & (unix.S_ISUID | unix.S_ISGID | unix.S_ISVTX)
	switch {
	case c.After.Type == Special:
		return "it is " + c.After.what
	case c.Before.Type == Special:
		return "on the host it is " + c.Before.what
	case c.Before.what != "":
		return "on the host it is " + c.Before.what
	case c.After.Type == File && setID != 0:
		return fmt.Sprintf("its mode %04o has a set-id or sticky bit", c.After.Mode)
	case c.After.Type == File && c.After.Size > MaxFile || c.Before.Type == File && c.Before.Size > MaxFile:
		return fmt.Sprintf("its size of %d bytes is beyond the %d that are reviewed", max(c.After.Size, c.Before.Size), int64(MaxFile))
	case strings.HasPrefix(c.Path, stagingPrefix):
		return "its name is one that apply uses"
	}
	return ""
}
