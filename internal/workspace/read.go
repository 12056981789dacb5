package workspace

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// read hashes what changed, on every processor, and leaves out what is as before.
func (w *Workspace) read(ctx context.Context, changes []Change) ([]Change, error) {
	work := make(chan *Change)
	fail := make(chan error, 1)
	var done sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(changes)) {
		done.Go(func() {
			buf := make([]byte, 128<<10)
			for c := range work {
				if err := w.readChange(ctx, c, buf); err != nil {
					select {
					case fail <- fmt.Errorf("%s: %w", quote(c.Path), err):
					default:
					}
				}
			}
		})
	}
	for i := range changes {
		if ctx.Err() != nil || len(fail) > 0 {
			break
		}
		work <- &changes[i]
	}
	close(work)
	done.Wait()
	select {
	case err := <-fail:
		return nil, err
	default:
	}
	return w.differing(changes), ctx.Err()
}

// twins are the names of copied files that are as before, by the copy's inode.
type twins map[uint64]*Change

// find gives the name that a new file is a hard link to.
func (t twins) find(c *Change) *Change {
	if c.Kind != Added || c.After.Type != File || c.After.id.Links < 2 {
		return nil
	}
	return t[c.After.id.Ino]
}

// differing drops what is as before: files that were touched, and permissions that
// only differ in what the caller's umask takes.
func (w *Workspace) differing(changes []Change) []Change {
	var out []Change
	same, umask := twins{}, w.umask()
	for _, c := range changes {
		both := c.Before.Type == c.After.Type && (c.Kind == Modified || c.Kind == Remoded) && c.Refused == ""
		if both && c.Before.SHA256 == c.After.SHA256 && c.Before.Link == c.After.Link && sameAttrs(c.Before.Attrs, c.After.Attrs) {
			if finalMode(c.Before, c.After, umask) == c.Before.Mode&permissions || c.After.Type == Symlink {
				if c.After.Type == File && c.After.id.Links > 1 {
					same[c.After.id.Ino] = &c
				}
				continue
			}
			c.Kind = Remoded
		}
		if both && !sameAttrs(c.Before.Attrs, c.After.Attrs) {
			c.Notes = append(c.Notes, "its extended attributes changed")
		}
		out = append(out, c)
	}
	for i := range out {
		if twin := same.find(&out[i]); twin != nil {
			out[i].twin = twin
			out[i].Notes = append(out[i].Notes, "a hard link to "+quote(twin.Path))
		}
	}
	return out
}

func (w *Workspace) readChange(ctx context.Context, c *Change, buf []byte) error {
	for _, side := range []struct {
		root  dir
		state *State
		name  string
		whose string
	}{{w.lower, &c.Before, cmpOr(c.From, c.Path), "on the host"}, {w.upper, &c.After, c.Path, "in the box"}} {
		if side.state.Type == Symlink {
			side.state.SHA256 = digest([]byte(side.state.Link))
		}
		if side.state.Type != File || side.state.Size > MaxFile || c.Refused != "" {
			continue
		}
		err := hashFile(ctx, side.root, side.name, side.state, buf)
		switch {
		case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM):
			c.Refused = fmt.Sprintf("its mode %04o %s keeps this user from reading it", side.state.Mode, side.whose)
		case w.live && passing(err): // not hashed, so it is shown nowhere
			c.Notes = append(c.Notes, errChanged.Error())
		case err != nil:
			return err
		}
	}
	return nil
}

// hashFile reads a file that was looked at before.
func hashFile(ctx context.Context, root dir, name string, s *State, buf []byte) error {
	f, err := root.file(name)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	r := io.LimitReader(&contextReader{ctx, f}, s.Size+1)
	n, err := io.CopyBuffer(onlyWriter{h}, r, buf)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if n != s.Size || identityOf(&st) != s.id {
		return errChanged
	}
	s.SHA256 = hex.EncodeToString(h.Sum(nil))
	return nil
}

// onlyWriter keeps io.CopyBuffer from finding another way than the buffer.
type onlyWriter struct{ io.Writer }

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// content reads a small file whole, and refuses it when it is not the one that
// the review saw.
func content(root dir, name string, s State) ([]byte, error) {
	if s.Type == Symlink {
		return []byte(s.Link), nil
	}
	f, err := root.file(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b strings.Builder
	b.Grow(int(s.Size))
	if _, err := io.Copy(&b, io.LimitReader(f, s.Size+1)); err != nil {
		return nil, err
	}
	data := []byte(b.String())
	if s.SHA256 == "" || digest(data) != s.SHA256 {
		return nil, errChanged
	}
	return data, nil
}
