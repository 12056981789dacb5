package launch

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/opencontainers/runc/libcontainer"
	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
	"agentbox/internal/cgroup"
)

// A Joined is a further command in a running box.
type Joined struct {
	process *libcontainer.Process
	control *boxinit.Control
	pipes   *piped
	term    *terminal
	group   *cgroup.Group
	ran     bool
	lost    error
	stop    chan struct{}
}

// Join runs another command in a running box with the posture of the agent: the same namespaces, ids, mounts,
// Landlock rules and filter. dir is the session's directory. The command ends with its caller. Where the plan has
// programs on the record, programs gets the listener at which the command's filter asks, and returns when the supervisor
// answers there; it is the caller's to close. Nothing of the command runs before.
func Join(ctx context.Context, dir string, plan Plan, s Streams, programs func(*os.File) error) (*Joined, error) {
	j := &Joined{stop: make(chan struct{})}
	if err := j.start(ctx, dir, plan, s, programs); err != nil {
		if j.ran { // and waits for an answer, say
			j.end()
		}
		j.cleanup()
		return nil, err
	}
	return j, nil
}

// leaving is how long a command that did not begin may take to end.
const leaving = time.Second

// end ends a command that did not begin. In a box that control groups of version 1 have frozen meanwhile it dies only when
// that goes on, and does nothing before.
func (j *Joined) end() {
	_ = j.process.Signal(unix.SIGKILL)
	ended := make(chan struct{})
	go func() {
		_, _ = j.process.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(leaving):
	}
}

func (j *Joined) start(ctx context.Context, dir string, plan Plan, s Streams, programs func(*os.File) error) error {
	files, err := j.prepare(dir, plan, s)
	if err != nil {
		return err
	}
	defer files.close()
	ready := make(chan error, 1)
	go func() {
		// PDEATHSIG follows the thread that forked: it has to stay as long as the command does.
		runtime.LockOSThread()
		ready <- j.run(dir, plan, files)
		<-j.stop
	}()
	if err := <-ready; err != nil {
		return &MissingError{Layer: "exec", Err: shorten(err)}
	}
	files.close()
	j.ran = true
	stop := context.AfterFunc(ctx, func() { j.control.Close() }) // a box that is frozen meanwhile says nothing
	defer stop()
	var m boxinit.Message
	if j.group.Attaches() {
		m, err = j.control.Receive()
	}
	if err == nil && m.Kind == boxinit.Forked {
		if err := j.attach(ctx); err != nil {
			return cmp.Or(ctx.Err(), err)
		}
	}
	if err == nil && m.Kind != boxinit.Failed {
		m, err = lastStep(j.control, programs)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && m.Kind == boxinit.Failed:
		return stepError(m, plan.Command, plan.Files.Path, plan.Dir)
	case err != nil && !errors.Is(err, io.EOF):
		return err
	case err == nil:
		return &MissingError{Layer: "exec", Err: errors.New("the box's side sent what was not expected")}
	}
	if j.term != nil {
		return j.term.run()
	}
	j.pipes.run(s)
	return nil
}

func (j *Joined) prepare(dir string, plan Plan, s Streams) (*boxFiles, error) {
	f := &boxFiles{ids: plan.ids(plan.base)}
	in, err := plan.instructions(f.ids)
	if err != nil {
		return nil, err
	}
	in.DieWithParent, in.Terminal = true, false
	in.Dirs, in.Seeds, in.Mounts, in.InitFilter = nil, nil, nil, nil
	if err := j.findGroup(dir, plan, f, in); err != nil {
		f.close()
		return nil, err
	}
	if f.instructions, err = in.File(); err != nil {
		return nil, err
	}
	if j.control, f.control, err = boxinit.Socketpair(); err != nil {
		f.close()
		return nil, err
	}
	if plan.Terminal {
		j.term = newTerminal(s, plan.Allow)
		f.console, f.consoleChild, err = socketpair()
	} else {
		j.pipes, err = makePipes(s, plan.Allow)
	}
	if err == nil && j.pipes != nil && plan.IDs == IDRange {
		err = j.pipes.give(f.ids.mounts.HostUID, f.ids.mounts.HostGID)
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// findGroup finds the box's control group, so that the command is limited together with the agent.
func (j *Joined) findGroup(dir string, plan Plan, f *boxFiles, in *boxinit.Instructions) error {
	first, err := firstProcess(filepath.Join(dir, stateDir))
	if err == nil {
		j.group, err = plan.group(filepath.Base(dir), first)
	}
	if err != nil {
		return &MissingError{Layer: "control group", Err: err}
	}
	in.Held = j.group.Attaches()
	return f.takeTasks(j.group, in, 0)
}

// attach puts the command, which waits, into the group.
func (j *Joined) attach(ctx context.Context) error {
	pid, err := j.process.Pid()
	if err == nil {
		err = j.group.Add(ctx, pid)
	}
	if err != nil {
		return &MissingError{Layer: "control group", Err: err}
	}
	return j.control.Release()
}

func (j *Joined) run(dir string, plan Plan, f *boxFiles) error {
	container, err := libcontainer.Load(filepath.Join(dir, stateDir), boxName)
	if err != nil {
		return err
	}
	j.process = &libcontainer.Process{
		Args: []string{boxinit.Path, boxinit.RoleJoin}, Cwd: "/",
		ExtraFiles: slices.Concat([]*os.File{f.control, f.instructions}, f.tasks),
	}
	if j.pipes != nil {
		j.process.Stdin, j.process.Stdout, j.process.Stderr = j.pipes.stdin, j.pipes.stdout, j.pipes.stderr
	} else {
		j.process.ConsoleSocket = f.consoleChild
	}
	if err := container.Run(j.process); err != nil {
		return err
	}
	if j.term != nil {
		return j.term.receiveMaster(f.console)
	}
	return nil
}

// Signal sends a signal to the command. What a terminal would send goes to its whole process group, and so does the
// end: the command leads a session, in which nobody else would hear of either.
func (j *Joined) Signal(s unix.Signal) error {
	if !forJob(s) && s != unix.SIGKILL {
		return j.process.Signal(s)
	}
	pid, err := j.process.Pid()
	if err == nil {
		err = j.process.Signal(unix.Signal(0)) // it is there, so its number is nobody else's
	}
	if err != nil {
		return err
	}
	return unix.Kill(-pid, s)
}

// Resize tells the command of the caller's new window size.
func (j *Joined) Resize() {
	if j.term == nil || !j.term.resize() {
		_ = j.Signal(unix.SIGWINCH)
	}
}

// Wait returns when the command has ended and all that it wrote has been passed on. What it left running in the box
// does not hold it up.
func (j *Joined) Wait() (r Result) {
	defer func() {
		j.cleanup()
		r.Lost = j.lost
	}()
	state, _ := j.process.Wait()
	if state == nil {
		return Result{ExitCode: 128 + int(unix.SIGKILL), Signal: unix.SIGKILL, Killed: true}
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok {
		return Result{ExitCode: 125}
	}
	return result(status)
}

func (j *Joined) cleanup() {
	if j.control != nil {
		j.control.Close()
	}
	if j.pipes != nil {
		j.pipes.closeBox()
		j.pipes.expire()
		j.lost = j.pipes.wait()
		j.pipes.abort()
	}
	if j.term != nil {
		j.term.close()
	}
	close(j.stop)
}
