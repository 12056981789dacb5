package workspace

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// fewFiles is up to how many files are written through to the disk one by one; of
// more, the whole filesystem is, once.
const fewFiles = 16

// ErrPending is an apply that was cut off and that Recover has not repaired.
var ErrPending = errors.New("an apply was cut off; it must be finished or undone first")

// Apply writes a plan: all of it, or nothing. With a receipt, the plan was carried
// out, also when there is an error beside it: then something could not be cleaned
// up or recorded, and Recover will. record is called once the plan is carried out
// for good, and again by Recover when the process ended before it returned.
func (w *Workspace) Apply(ctx context.Context, p *Plan, record func(Receipt) error) (*Receipt, error) {
	if len(p.Items) == 0 {
		return nil, errors.New("nothing is to be applied")
	}
	unlock, err := w.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if w.pending() != "" {
		return nil, ErrPending
	}
	j, err := w.begin(p)
	if err != nil {
		return nil, err
	}
	if err := w.prepare(ctx, p, j); err != nil {
		return nil, errors.Join(err, w.clean(j, beginName))
	}
	return w.carryOut(j, record)
}

// begin writes down that contents will be staged, and where.
func (w *Workspace) begin(p *Plan) (*journal, error) {
	id := make([]byte, 8)
	rand.Read(id)
	j := &journal{Version: 1, Staging: stagingPrefix + hex.EncodeToString(id)}
	j.Receipt = w.receipt(p, hex.EncodeToString(id), time.Now().UTC(), os.Getuid())
	st, _, err := w.lower.stat(".")
	if err != nil {
		return nil, fmt.Errorf("the workspace: %w", err)
	}
	j.RootTime = st.Mtim.Nano()
	if err := w.saveJSON(beginName, j); err != nil {
		return nil, errors.Join(fmt.Errorf("the session's directory: %w", err), w.clean(j, beginName))
	}
	return j, nil
}

// prepare stages everything and decides. Until it has returned, nothing of the
// project has changed but a directory of our own.
func (w *Workspace) prepare(ctx context.Context, p *Plan, j *journal) error {
	for i := range p.Items {
		if err := w.unchanged(&p.Items[i].Change); err != nil {
			return err
		}
	}
	if err := w.hand.mkdir(w.lower, j.Staging, 0o700); err != nil {
		return fmt.Errorf("the workspace: %w", err)
	}
	staging, err := w.lower.child(j.Staging)
	if err != nil {
		return err
	}
	defer staging.close()
	s := &stager{ctx: ctx, w: w, root: staging, tops: map[string]string{}, links: map[linkKey]string{}, buf: make([]byte, 256<<10)}
	for i := range p.Items {
		if p.Items[i].After.Type == None {
			continue
		}
		if err := s.stage(&p.Items[i]); err != nil {
			return fmt.Errorf("%s: %w", quote(p.Items[i].Change.Path), err)
		}
	}
	if err := s.finish(p.Items); err != nil {
		return err
	}
	if err := w.count(s.ops, staging); err != nil {
		return err
	}
	if err := w.flush(staging.fd, s.files); err != nil {
		return err
	}
	if j.Ops, j.Times, err = w.arrange(p, s.ops); err != nil {
		return err
	}
	j.Was = p.wasBefore()
	for i := range p.Items {
		item := &p.Items[i]
		j.Left = append(j.Left, leftState{[]byte(item.Change.Path), item.After})
		if item.Change.From != "" {
			j.Left = append(j.Left, leftState{[]byte(item.Change.From), State{}})
		}
	}
	return w.saveJSON(journalName, j)
}

// count notes how much lies in each staged directory.
func (w *Workspace) count(ops []op, staging dir) error {
	for i := range ops {
		if ops[i].Do != opGive && ops[i].Do != opSwap {
			continue
		}
		d, err := staging.child(ops[i].Slot)
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			continue
		}
		if err != nil {
			return err
		}
		ops[i].Count, _, err = census(d, 0)
		d.close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *Workspace) flush(fd, files int) error {
	if files > fewFiles {
		return w.hand.syncfs(fd)
	}
	return w.hand.fsync(fd)
}

// unchanged refuses a change of which either side is not what the review saw.
func (w *Workspace) unchanged(c *Change) error {
	for _, side := range []struct {
		root  dir
		name  string
		state State
		who   string
	}{{w.upper, c.Path, c.After, "the agent"}, {w.lower, cmpOr(c.From, c.Path), c.Before, "the host"}} {
		if side.who == "the agent" && side.state.Type == None {
			continue // a whiteout, or what an opaque directory hides
		}
		up, base, err := side.root.parent(side.name)
		if gone(err) && side.state.Type == None {
			continue
		}
		if gone(err) {
			return moved([]byte(c.Path), side.who+" removed its directory")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", quote(c.Path), err)
		}
		st, found, err := up.stat(base)
		up.close()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", quote(c.Path), err)
		case found != (side.state.Type != None):
			return moved([]byte(c.Path), side.who+" made or removed it since it was reviewed")
		case found && side.state.Type == Dir && st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&0o7777 == side.state.Mode:
		case found && identityOf(&st) != side.state.id:
			return moved([]byte(c.Path), side.who+" changed it since it was reviewed")
		}
	}
	return nil
}
