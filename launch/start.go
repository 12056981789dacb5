// Package launch plans a box and runs one process in it. It alone imports libcontainer's engine.
//
// Probe and Look read the host, NewPlan decides (pure), Start acts. A start either ends with the agent's first
// instruction or with an error that names the layer which could not be set up, and then nothing of the agent ran and
// nothing of the box is left. PID 1 of the box ends it when this process goes, however it goes.
package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
	"agentbox/internal/cgroup"
	"agentbox/internal/session"
)

// A Box is a running agent.
type Box struct {
	plan      Plan
	session   *session.Session
	ids       *session.IDRange
	group     *cgroup.Group // nil: the box is in our own
	control   *boxinit.Control
	container *libcontainer.Container
	process   *libcontainer.Process
	pipes     *piped
	term      *terminal
	lost      error         // what of the agent's output could not be passed on
	ran       bool          // libcontainer started the first process; otherwise it has ended it itself
	stop      chan struct{} // ends the engine's thread
	watch     *watch
	cpu       time.Duration // see cleanup
	ready     chan error
	before    chan error // what the label's Before said
	writes    *os.File   // the file system of what the agent writes, where it is one of its own
	making    *making    // of it
	unkept    error      // why what was in it is gone
	channel   *boxinit.Network
	network   *Network
	networked chan error // what became of its set-up
	lastOwner atomic.Int64
	onFull    func(context.Context, Reached) bool
}

// A Label is what is known of a session besides its plan.
type Label struct {
	ID      string // from session.NewID
	Profile string // what `ps` shows
	Writes  string // the directory that workspace.Begin made, for a plan with an overlay
	// Before is called while the box is being made. The agent does not run before it has returned, and not at all when it
	// returns an error.
	Before func() error
	// Full is called when what the agent wrote has passed limits.disk where that is watched. It freezes the box and
	// returns true, and who resumes it lets it write as much again; or it returns false, as a nil one does, and the box
	// ends.
	Full func(context.Context, Reached) bool
	// Network serves the box's network, where the plan has one, and returns at once. It is called before the agent runs,
	// which does not when it returns an error; Network.Close is for it to call.
	Network func(*Network) error
	// Hook answers the programs of the box that ask about tool calls, where the plan has a hook, and returns at once. The
	// listener is for it to close.
	Hook func(net.Listener) error
	// Programs answers what the agent's filter asks about programs, where the plan says so: it gets the listener of
	// seccomp_unotify(2), to close, and returns at once.
	Programs func(*os.File) error
}

// Start makes the box and runs the plan's command in it.
func Start(ctx context.Context, plan Plan, s Streams, label Label) (*Box, error) {
	logrus.SetOutput(io.Discard)                     // libcontainer warns there of what its errors say better
	unix.Umask(0o022)                                // the skeleton's modes are the plan's, not the caller's; the agent gets the caller's umask back
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection during the start would cost more than it frees
	plan.writes = label.Writes
	plan.medium = plan.chooseMedium()
	b := &Box{plan: plan, onFull: label.Full, stop: make(chan struct{}), ready: make(chan error, 1), before: make(chan error, 1), networked: make(chan error, 1)}
	if err := b.start(ctx, s, label); err != nil {
		b.cleanup()
		return nil, err
	}
	return b, nil
}

func (b *Box) start(ctx context.Context, s Streams, label Label) error {
	if err := b.plan.checkWrites(); err != nil {
		return err
	}
	root, err := session.Root()
	if err != nil {
		return err
	}
	info := session.Info{ID: label.ID, PID: os.Getpid(), Workspace: b.plan.Workspace, Profile: label.Profile,
		Command: b.plan.Command, Degraded: degradedNames(b.plan.Degraded), State: session.Starting, Terminal: b.plan.Terminal}
	if b.session, err = session.Create(root, info); err != nil {
		return err
	}
	if b.plan.IDs == IDRange {
		if b.ids, err = session.AcquireIDRange(root); err != nil {
			return &MissingError{Layer: "uid mapping", Err: err}
		}
	}
	// Before the agent runs, so that a command about it which comes at once has somebody to wait for.
	if err := b.session.Listen(); err != nil {
		return err
	}
	files, err := b.prepare(s)
	if err != nil {
		return err
	}
	defer files.close()
	if err := ctx.Err(); err != nil {
		return err
	}
	go func() { b.before <- label.Before() }()
	go b.engine(files)
	if err := <-b.ready; err != nil {
		if interrupted(ctx) {
			return ctx.Err()
		}
		return b.explain(err)
	}
	go func() { b.networked <- b.openSockets(label) }()
	files.close() // the box's end of the control socket above all: while we hold it, its end would not show
	if err := b.agentRuns(ctx, s, label.Programs); err != nil {
		return err
	}
	return b.publish()
}

// interrupted tells a failed start from one that Ctrl-C ended: the terminal signals the box's first processes, too,
// and they may be gone before our own handler has run.
func interrupted(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-time.After(50 * time.Millisecond):
		return false
	}
}

// boxFiles are what the box's first process inherits; ours are closed once it has them.
type boxFiles struct {
	control, instructions *os.File
	network               *os.File // the channel of Network
	console, consoleChild *os.File
	idmapping             *idmapping
	mounts                []*os.File // detached, for PID 1 to attach
	tasks                 []*os.File // of the box's control group, for the agent to join
	ids                   idPlan
}

func (f *boxFiles) close() {
	for _, c := range append(append(f.mounts, f.tasks...), f.control, f.instructions, f.console, f.consoleChild, f.network) {
		if c != nil {
			c.Close()
		}
	}
	f.idmapping.close()
}

// prepare makes everything that the engine needs and that can fail without a box.
func (b *Box) prepare(s Streams) (*boxFiles, error) {
	dir := b.session.Dir()
	var base uint32
	if b.ids != nil {
		base = b.ids.Base
		// The box's root has to pass through, and no more than that.
		for _, d := range []string{filepath.Dir(dir), dir} {
			if err := os.Chmod(d, 0o711); err != nil {
				return nil, err
			}
		}
	}
	if err := b.giveWrites(); err != nil {
		return nil, &MissingError{Layer: "overlay", Err: err}
	}
	f := &boxFiles{ids: b.plan.ids(base)}
	if b.plan.Idmap {
		f.idmapping = startIdmapping(f.ids.mounts)
	}
	if err := b.plan.save(dir, base); err != nil {
		f.close()
		return nil, err
	}
	b.making = b.makeWrites()
	in, err := b.plan.instructions(f.ids)
	if err == nil {
		in.Nodes, err = b.plan.nodes()
	}
	if err == nil {
		in.Held = true
		err = b.makeGroup(f, in)
	}
	if err == nil {
		err = b.makeNetwork(f, in)
	}
	if err != nil {
		f.close()
		return nil, err
	}
	if f.instructions, err = in.File(); err != nil {
		f.close()
		return nil, err
	}
	if b.control, f.control, err = boxinit.Socketpair(); err != nil {
		f.close()
		return nil, err
	}
	if b.plan.Terminal {
		b.term = newTerminal(s, b.plan.Allow)
		f.console, f.consoleChild, err = socketpair()
	} else {
		b.pipes, err = makePipes(s, b.plan.Allow)
	}
	if err == nil && b.pipes != nil && b.ids != nil {
		err = b.pipes.give(f.ids.mounts.HostUID, f.ids.mounts.HostGID)
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func socketpair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("the box's terminal: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "console"), os.NewFile(uintptr(fds[1]), "console of the box"), nil
}

// engine is the thread that libcontainer runs on. It stays until the box is over: what it forked would be told of
// its parent's death when the thread ends, and as root it has a mount namespace of its own.
func (b *Box) engine(f *boxFiles) {
	runtime.LockOSThread()
	b.ready <- b.launch(f)
	<-b.stop
}

func (b *Box) launch(f *boxFiles) error {
	dir := b.session.Dir()
	if b.plan.IDs == IDRange {
		if err := privateMounts(); err != nil {
			return &MissingError{Layer: "mnt namespace", Err: err}
		}
	}
	// libcontainer hands this one variable on: its first process is single threaded but for the runtime.
	if err := os.Setenv("GOMAXPROCS", "1"); err != nil {
		return err
	}
	err := makeMountpoints(dir)
	if err != nil {
		return err
	}
	if err := b.mountWrites(); err != nil {
		return err
	}
	if f.idmapping != nil {
		if f.mounts, err = b.plan.ownMounts(f.idmapping); err != nil {
			return err
		}
	}
	config := b.plan.config(dir, f.ids)
	b.container, err = libcontainer.Create(filepath.Join(dir, stateDir), boxName, config)
	if err != nil {
		return err
	}
	// Create accepts a host without the devices controller only so; the start refuses it, although a rootless
	// container has none either. Which devices exist inside is decided by /dev and by nodev.
	config.Cgroups.Resources.SkipDevices = false
	b.process = &libcontainer.Process{
		Args: []string{boxinit.Path, boxinit.RolePID1}, Cwd: "/", Init: true,
		ExtraFiles: slices.Concat([]*os.File{f.control, f.instructions}, f.mounts, f.tasks),
	}
	if f.network != nil {
		b.process.ExtraFiles = append(b.process.ExtraFiles, f.network)
	}
	if b.pipes != nil {
		b.process.Stdin, b.process.Stdout, b.process.Stderr = b.pipes.stdin, b.pipes.stdout, b.pipes.stderr
	} else {
		b.process.ConsoleSocket = f.consoleChild
	}
	if err := withSystemPath(func() error { return b.container.Run(b.process) }); err != nil {
		return err
	}
	b.ran = true
	if b.term != nil {
		return b.term.receiveMaster(f.console)
	}
	return nil
}

// agentRuns waits until the agent was executed, or the step that failed has been reported.
func (b *Box) agentRuns(ctx context.Context, s Streams, programs func(*os.File) error) error {
	stop := context.AfterFunc(ctx, func() { b.control.Close() })
	m, err := b.control.Receive()
	if err == nil && m.Kind == boxinit.Forked {
		if err := b.release(); err != nil {
			return err
		}
		m, err = b.lastStep(programs)
	}
	cancelled := !stop()
	switch {
	case err == nil && m.Kind == boxinit.Running && !cancelled: // a signal that comes now is the agent's to get
	case cancelled:
		return ctx.Err()
	case err != nil:
		return &MissingError{Layer: "pid 1", Err: errors.New("it ended before the agent ran"),
			Remedy: "agentbox has to be a static binary: build it with make"}
	case m.Kind == boxinit.Failed:
		return b.stepError(m)
	default:
		return fmt.Errorf("the box sent message %d before the agent ran", m.Kind)
	}
	if err := b.startWatch(); err != nil {
		return err
	}
	if b.pipes != nil {
		b.pipes.run(s)
		return nil
	}
	return b.term.run()
}

// lastStep waits for what becomes of the agent's start. Its filter may ask about its own program first.
func (b *Box) lastStep(programs func(*os.File) error) (boxinit.Message, error) {
	for {
		m, file, err := b.control.ReceiveFile()
		if file == nil || err != nil {
			return m, err
		}
		if m.Kind != boxinit.Listener || programs == nil {
			file.Close()
			return m, errors.New("the box asks about programs, and nobody answers")
		}
		if err := programs(file); err != nil {
			return m, err
		}
	}
}

// cleanup takes down what is there; every part may be missing.
func (b *Box) cleanup() {
	b.watch.stop()
	if b.group.Freezes() {
		_ = b.group.Thaw() // or nothing in it could end
	}
	if b.control != nil {
		b.control.Close()
	}
	if b.ran {
		_ = b.process.Signal(unix.SIGKILL)
		if state, _ := b.process.Wait(); state != nil { // of PID 1, and of all that it has waited for
			b.cpu = state.UserTime() + state.SystemTime()
		}
	}
	if b.pipes != nil {
		b.lost = b.pipes.wait()
	}
	if b.term != nil {
		b.term.close()
	}
	if b.container != nil {
		_ = b.container.Destroy()
	}
	close(b.stop)
	if b.channel != nil {
		b.channel.Close()
	}
	b.closeWrites()
	_ = b.group.Remove()
	if b.ids != nil {
		b.ids.Release()
	}
	if b.session != nil {
		_ = b.session.Close()
	}
}

func degradedNames(list []Degraded) []string {
	var names []string
	for _, d := range list {
		names = append(names, d.Layer)
	}
	return names
}
