package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/workspace"
	"agentbox/launch"
)

// A result is what `run --result FILE` writes, so that an agent's own 64 or 125 is not mistaken for agentbox's.
type result struct {
	Version  int                `json:"version"`
	Session  string             `json:"session,omitempty"`
	Cause    string             `json:"cause"`
	ExitCode int                `json:"exit_code"`
	Signal   string             `json:"signal,omitempty"`
	Layer    string             `json:"layer,omitempty"`
	Limit    string             `json:"limit,omitempty"`
	Reached  []string           `json:"reached,omitempty"`
	Appeared []string           `json:"appeared,omitempty"` // protected names that were absent at the start
	Changes  *workspace.Summary `json:"changes,omitempty"`  // in an overlay
	Error    string             `json:"error,omitempty"`
	Degraded []string           `json:"degraded"`
	Command  []string           `json:"command"`
	Started  time.Time          `json:"started"`
	Ended    time.Time          `json:"ended"`

	record   *recorder // nil until there is a log
	kept     *keeper   // nil without an overlay
	agentEnd launch.Result

	dir  *os.File // of the file; nil when nobody asked for one
	name string
}

// newResult makes sure, before anything starts, that the file can be written at the end, and takes an earlier run's
// away. It holds the directory open, and follows no symbolic link of a workspace to it: an agent that may write there
// cannot lead the file elsewhere.
func newResult(path string, command []string, workspaces ...string) (*result, error) {
	r := &result{Version: 1, Degraded: []string{}, Command: command, Started: time.Now().UTC()}
	if r.Command == nil {
		r.Command = []string{}
	}
	if path == "" {
		return r, nil
	}
	refuse := func(err error) (*result, error) {
		return nil, &usageError{msg: fmt.Sprintf("--result %s: %v", path, err), hint: "name a file in a directory that you may write"}
	}
	dir, err := openApart(filepath.Dir(path), workspaces)
	if err != nil {
		return refuse(reason(err))
	}
	r.dir, r.name = dir, filepath.Base(path)
	err = r.clear()
	if err == nil { // the only sure way to find out whether a file can be made is to make one
		err = errors.Join(r.create(nil), r.remove(r.temporary()))
	}
	if err != nil {
		dir.Close()
		return refuse(reason(err))
	}
	return r, nil
}

// openApart opens a directory unless a symbolic link that lies in a workspace is on the way.
func openApart(path string, workspaces []string) (*os.File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	real := "/"
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		next := filepath.Join(real, name)
		if info, err := os.Lstat(next); err == nil && info.Mode().Type() == fs.ModeSymlink {
			for _, w := range workspaces {
				if w, err = filepath.Abs(w); err != nil || inside(real, resolve(w)) {
					return nil, fmt.Errorf("%s is a symbolic link, and agentbox follows none in a workspace", next)
				}
			}
		}
		real = resolve(next)
	}
	dir, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	if opened, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir.Fd())); err != nil || opened != real {
		dir.Close()
		return nil, fmt.Errorf("%s was replaced while it was being opened", path)
	}
	return dir, nil
}

// reason leaves out the path, which the message already has.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// clear removes the file of an earlier run. Anything else that has its name, such as /dev/null, stays and is refused.
func (r *result) clear() error {
	var st unix.Stat_t
	err := unix.Fstatat(int(r.dir.Fd()), r.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("it exists and is not a regular file")
	}
	return r.remove(r.name)
}

func (r *result) temporary() string { return fmt.Sprintf(".%s.agentbox-%d", r.name, os.Getpid()) }

func (r *result) remove(name string) error { return unix.Unlinkat(int(r.dir.Fd()), name, 0) }

// create writes a new file beside the final one.
func (r *result) create(data []byte) error {
	fd, err := unix.Openat(int(r.dir.Fd()), r.temporary(), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), r.temporary())
	_, err = f.Write(data)
	return errors.Join(err, f.Chmod(0o644), f.Close())
}

// encode completes the result of a session that is over; err is what `run` returns.
func (r *result) encode(err error) ([]byte, error) {
	r.Ended = time.Now().UTC()
	r.judge(err)
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("the result: %w", err)
	}
	return append(visibleJSON(data), '\n'), nil
}

// write puts the result in its place in one step, if somebody asked for it.
func (r *result) write(data []byte) error {
	if r.dir == nil {
		return nil
	}
	defer r.dir.Close()
	if err := r.create(data); err != nil {
		return fmt.Errorf("--result: %w", errors.Join(err, r.remove(r.temporary())))
	}
	if err := unix.Renameat(int(r.dir.Fd()), r.temporary(), int(r.dir.Fd()), r.name); err != nil {
		return fmt.Errorf("--result: %w", errors.Join(err, r.remove(r.temporary())))
	}
	return nil
}

// judge fills in the cause, unless the agent ran and has said it.
func (r *result) judge(err error) {
	if r.Cause != "" {
		return
	}
	v := judge(err)
	r.Cause, r.ExitCode, r.Layer, r.Error = v.cause, v.code, v.layer, err.Error()
	var s *interruptedError
	if errors.As(err, &s) {
		r.Signal = signalName(s.signal)
	}
}
