package workspace

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"agentbox/internal/workspace/textdiff"
)

// contextLines are the unchanged lines around a change, as in git.
const contextLines = 3

// A FileDiff is one change in git's words. Its parts put together are its text.
type FileDiff struct {
	Header []byte   // from "diff --git" to "+++"
	Hunks  [][]byte // each from "@@"; empty where the content is not shown
	Why    string   // why it is not shown, where it is not
	Stat   Stat
}

// A Stat counts the lines of one change.
type Stat struct {
	Path           string
	Added, Removed int
	Binary         bool // not text, or not shown
}

// Diff writes the changes as git would. The bytes are the workspace's: a terminal
// gets them through Visible.
func (w *Workspace) Diff(out io.Writer, r *Review) error {
	for i := range r.Changes {
		d, err := w.FileDiff(&r.Changes[i])
		if err != nil {
			return fmt.Errorf("%s: %w", quote(r.Changes[i].Path), err)
		}
		for _, part := range append([][]byte{d.Header}, d.Hunks...) {
			if _, err := out.Write(part); err != nil {
				return err
			}
		}
	}
	return nil
}

// FileDiff shows one change. What is masked, refused, binary or huge is named and
// not shown.
func (w *Workspace) FileDiff(c *Change) (*FileDiff, error) {
	d := &FileDiff{Stat: Stat{Path: c.Path}}
	var head bytes.Buffer
	if c.Before.Type == Dir || c.After.Type == Dir {
		d.Header = directoryHeader(c)
		if c.Kind != Retyped {
			return d, nil
		}
	}
	for _, half := range halves(c) {
		header(&head, half, displayMode)
		why := unshown(half)
		if why == "" {
			err := w.hunks(d, &head, half)
			if err != nil && !(w.live && passing(err)) {
				return nil, err
			} else if err != nil {
				why = errChanged.Error()
			}
		}
		if why != "" {
			d.Stat.Binary, d.Why = true, why
			fmt.Fprintf(&head, "Files %s and %s differ (not shown: %s)\n", oldName(half), newName(half), why)
		}
	}
	d.flush(&head)
	return d, nil
}

// flush puts a header where it belongs: before the hunks, or, when it is a second
// half's, behind the last one of the first.
func (d *FileDiff) flush(head *bytes.Buffer) {
	if last := len(d.Hunks) - 1; last >= 0 {
		d.Hunks[last] = append(d.Hunks[last], head.Bytes()...)
	} else {
		d.Header = append(d.Header, head.Bytes()...)
	}
	head.Reset()
}

// directoryHeader names a directory in git's manner, though git keeps none.
func directoryHeader(c *Change) []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("diff --git %s %s", c.named("a", c.Path), c.named("b", c.Path))
	if c.Before.Type == Dir && c.After.Type != Dir {
		line("deleted directory mode %06o", 0o40000|c.Before.Mode)
	} else if c.Before.Type != Dir {
		line("new directory mode %06o", 0o40000|c.After.Mode)
	} else if c.Before.Mode != c.After.Mode {
		line("old mode %06o", 0o40000|c.Before.Mode)
		line("new mode %06o", 0o40000|c.After.Mode)
	}
	return b.Bytes()
}

// unshown says why nothing of a file's content is shown.
func unshown(c *Change) string {
	switch {
	case c.Masked != "":
		return "masked by " + c.Masked
	case c.Refused != "":
		return "refused: " + c.Refused
	case c.Before.Size > maxText || c.After.Size > maxText:
		return fmt.Sprintf("longer than %d MiB", maxText>>20)
	}
	return ""
}

// halves are what git can say in one piece: a file that became a link is a file
// that went and a link that came. Directories have no piece.
func halves(c *Change) []*Change {
	if c.Kind != Retyped {
		return []*Change{c}
	}
	var out []*Change
	if c.Before.Type != Dir {
		gone := *c
		gone.Kind, gone.After = Deleted, State{}
		out = append(out, &gone)
	}
	if c.After.Type != Dir {
		came := *c
		came.Kind, came.Before = Added, State{}
		out = append(out, &came)
	}
	return out
}

// hunks adds the body of a text, and ends the header.
func (w *Workspace) hunks(d *FileDiff, head *bytes.Buffer, c *Change) error {
	a, b, err := w.texts(c)
	if err != nil {
		return err
	}
	if c.Before.SHA256 != c.After.SHA256 {
		fmt.Fprintf(head, "index %.7s..%.7s%s\n", blobID(c.Before, a), blobID(c.After, b), indexMode(c))
	}
	if isBinary(a) || isBinary(b) {
		d.Stat.Binary, d.Why = true, "binary"
		fmt.Fprintf(head, "Binary files %s and %s differ\n", oldName(c), newName(c))
		return nil
	}
	x, y := textdiff.Lines(a), textdiff.Lines(b)
	hunks := textdiff.Hunks(x, y, contextLines)
	if len(hunks) > 0 {
		fmt.Fprintf(head, "--- %s\n+++ %s\n", oldName(c), newName(c))
	}
	d.flush(head)
	for _, h := range hunks {
		d.Hunks = append(d.Hunks, hunkText(h, x, y))
	}
	added, removed := textdiff.Count(hunks)
	d.Stat.Added, d.Stat.Removed = d.Stat.Added+added, d.Stat.Removed+removed
	return nil
}

func hunkText(h textdiff.Hunk, a, b []string) []byte {
	var out bytes.Buffer
	out.WriteString(h.Header(a) + "\n")
	h.Write(a, b, func(kind byte, text string) {
		out.WriteByte(kind)
		out.WriteString(text)
		if !strings.HasSuffix(text, "\n") {
			out.WriteString("\n" + textdiff.NoNewline)
		}
	})
	return out.Bytes()
}

// header writes the lines above the content.
func header(b *bytes.Buffer, c *Change, mode func(State) string) {
	line := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	from := cmpOr(c.From, c.Path)
	line("diff --git %s %s", c.named("a", from), c.named("b", c.Path))
	switch {
	case c.Before.Type == None:
		line("new file mode %s", mode(c.After))
	case c.After.Type == None:
		line("deleted file mode %s", mode(c.Before))
	case mode(c.Before) != mode(c.After):
		line("old mode %s", mode(c.Before))
		line("new mode %s", mode(c.After))
	}
	if c.Kind == Renamed {
		percent := 99
		if c.Before.SHA256 == c.After.SHA256 {
			percent = 100
		}
		line("similarity index %d%%", percent)
		line("rename from %s", quote(c.place+from))
		line("rename to %s", quote(c.place+c.Path))
	}
}

// displayMode shows all permissions; gitMode the two that git knows.
func displayMode(s State) string {
	switch s.Type {
	case Symlink:
		return "120000"
	case Special:
		return fmt.Sprintf("special %04o", s.Mode)
	}
	return fmt.Sprintf("100%03o", s.Mode&permissions)
}

func gitMode(s State) string {
	switch {
	case s.Type == Symlink:
		return "120000"
	case s.executable():
		return "100755"
	}
	return "100644"
}

func indexMode(c *Change) string {
	if c.Before.Type == None || c.After.Type == None || gitMode(c.Before) != gitMode(c.After) {
		return ""
	}
	return " " + gitMode(c.After)
}

// oldName and newName stand behind "---" and "+++"; git ends a name that has a
// space with a tab, so that patch(1) finds its end.
func oldName(c *Change) string {
	if c.Before.Type == None {
		return "/dev/null"
	}
	return tabbed(c.named("a", cmpOr(c.From, c.Path)))
}

func newName(c *Change) string {
	if c.After.Type == None {
		return "/dev/null"
	}
	return tabbed(c.named("b", c.Path))
}

// named is a path as git writes it, behind the side that it is on.
func (c *Change) named(side, name string) string {
	if c.place == "" {
		side += "/"
	}
	return quote(side + c.place + name)
}

func tabbed(name string) string {
	if strings.Contains(name, " ") && name[0] != '"' {
		return name + "\t"
	}
	return name
}

// texts reads both sides of a change.
func (w *Workspace) texts(c *Change) (before, after []byte, err error) {
	if c.Before.Type == File || c.Before.Type == Symlink {
		if before, err = w.text(w.lower, cmpOr(c.From, c.Path), c.Before); err != nil {
			return nil, nil, fmt.Errorf("on the host: %w", err)
		}
	}
	if c.After.Type == File || c.After.Type == Symlink {
		if after, err = w.text(w.upper, c.Path, c.After); err != nil {
			return nil, nil, fmt.Errorf("in the box: %w", err)
		}
	}
	return before, after, nil
}

func (w *Workspace) text(root dir, name string, s State) ([]byte, error) {
	if s.Size > maxText {
		return nil, fmt.Errorf("it is longer than %d MiB", maxText>>20)
	}
	return content(root, name, s)
}

// isBinary is git's rule: a NUL among the first 8000 bytes.
func isBinary(data []byte) bool {
	return bytes.IndexByte(data[:min(len(data), 8000)], 0) >= 0
}

const noBlob = "0000000000000000000000000000000000000000"

// blobID is the name that git gives a content.
func blobID(s State, data []byte) string {
	if s.Type == None {
		return noBlob
	}
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(data))
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}
