package workspace

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"

	"agentbox/internal/workspace/textdiff"
)

// maxPatch is the size of the largest file that a patch carries.
const maxPatch = 64 << 20

// An Omission is a change that a patch does not carry.
type Omission struct{ Path, Why string }

// Patch writes the changes so that "git apply" accepts them, binary files
// included. It says what git's format or a person's interest keeps out: empty
// directories, permissions that git does not know, what is masked or refused.
func (w *Workspace) Patch(out io.Writer, r *Review) ([]Omission, error) {
	var omitted []Omission
	for i := range r.Changes {
		c := &r.Changes[i]
		if why := omit(c); why != "" {
			omitted = append(omitted, Omission{c.Path, why})
			continue
		}
		for _, half := range halves(c) {
			if c.Kind != Retyped && (c.what() == Dir) {
				continue
			}
			if err := w.patchOne(out, half); err != nil {
				return nil, fmt.Errorf("%s: %w", quote(c.Path), err)
			}
		}
	}
	return omitted, nil
}

func omit(c *Change) string {
	switch {
	case c.Refused != "":
		return c.Refused
	case c.Masked != "":
		return "the profile masks it (" + c.Masked + ")"
	case c.Before.Size > maxPatch || c.After.Size > maxPatch:
		return fmt.Sprintf("it is larger than %d MiB", maxPatch>>20)
	case c.what() == Dir && c.Kind == Remoded:
		return "git keeps no permissions of directories"
	case c.Kind == Remoded && gitMode(c.Before) == gitMode(c.After):
		return fmt.Sprintf("git does not know the permissions %03o", c.After.Mode&permissions)
	case c.Kind == Modified && c.Before.SHA256 == c.After.SHA256:
		return "git keeps no attributes"
	}
	return ""
}

func (w *Workspace) patchOne(out io.Writer, c *Change) error {
	a, b, err := w.bothSides(c)
	if err != nil {
		return err
	}
	var head bytes.Buffer
	header(&head, c, gitMode)
	if c.Before.SHA256 != c.After.SHA256 {
		fmt.Fprintf(&head, "index %s..%s%s\n", blobID(c.Before, a), blobID(c.After, b), indexMode(c))
		if isBinary(a) || isBinary(b) || len(a) > maxText || len(b) > maxText {
			binaryPatch(&head, b, a)
		} else {
			textPatch(&head, c, a, b)
		}
	}
	_, err = out.Write(head.Bytes())
	return err
}

func textPatch(out *bytes.Buffer, c *Change, a, b []byte) {
	x, y := textdiff.Lines(a), textdiff.Lines(b)
	hunks := textdiff.Hunks(x, y, contextLines)
	if len(hunks) > 0 {
		fmt.Fprintf(out, "--- %s\n+++ %s\n", oldName(c), newName(c))
	}
	for _, h := range hunks {
		out.Write(hunkText(h, x, y))
	}
}

// bothSides is texts with the limit of a patch.
func (w *Workspace) bothSides(c *Change) (before, after []byte, err error) {
	if c.Before.Type != None && c.Before.Type != Dir {
		before, err = content(w.lower, cmpOr(c.From, c.Path), c.Before)
	}
	if err == nil && c.After.Type != None && c.After.Type != Dir {
		after, err = content(w.upper, c.Path, c.After)
	}
	return before, after, err
}

// binaryPatch writes git's "GIT binary patch": what comes, and what to go back to.
func binaryPatch(out *bytes.Buffer, after, before []byte) {
	out.WriteString("GIT binary patch\n")
	literal(out, after)
	literal(out, before)
}

func literal(out *bytes.Buffer, data []byte) {
	fmt.Fprintf(out, "literal %d\n", len(data))
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	z.Write(data)
	z.Close()
	for rest := packed.Bytes(); len(rest) > 0; {
		n := min(len(rest), 52)
		base85(out, rest[:n])
		rest = rest[n:]
	}
	out.WriteByte('\n')
}

// base85 writes one line as git does (base85.c): a letter for the length, then
// five digits for four bytes.
func base85(out *bytes.Buffer, line []byte) {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
	if n := len(line); n <= 26 {
		out.WriteByte(byte('A' + n - 1))
	} else {
		out.WriteByte(byte('a' + n - 27))
	}
	for i := 0; i < len(line); i += 4 {
		var word uint32
		for j := range 4 {
			word <<= 8
			if i+j < len(line) {
				word |= uint32(line[i+j])
			}
		}
		var five [5]byte
		for j := 4; j >= 0; j-- {
			five[j] = digits[word%85]
			word /= 85
		}
		out.Write(five[:])
	}
	out.WriteByte('\n')
}
