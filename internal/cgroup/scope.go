package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	dbus "github.com/godbus/dbus/v5"

	"agentbox/limits"
)

// A scope is a unit of systemd's that it gives away (Delegate=), the only place below its slices that it leaves alone.
// The box is a group in the scope: what lies in the scope's own files systemd writes again at every reload. See
// systemd.scope(5), and CGROUP_DELEGATION in systemd's documentation.

// asking is how long systemd may take to answer.
const asking = 30 * time.Second

// lookScope says which controllers a group would have in a scope.
func (c caller) lookScope(m hierarchy) limits.Groups {
	if !c.systemd() {
		return limits.Groups{}
	}
	dir := filepath.Join(m.point, c.manager)
	given := read(dir, controllersFile)
	g := limits.Groups{Version: 2, Scope: true, Parents: parents(dir, known(given))}
	if len(g.Parents) < len(wanted) {
		g.Why = "systemd has only the controllers " + strings.Join(strings.Fields(given), ", ") + " for it; see Delegate= in systemd.resource-control(5)"
	}
	return g
}

// managerGroup is the group of the systemd that starts units for a user.
func managerGroup(uid int) string {
	if uid == 0 {
		return "/"
	}
	return fmt.Sprintf("user.slice/user-%d.slice/user@%d.service", uid, uid)
}

// hasSystemd reports whether systemd is PID 1, see sd_booted(3), and can be asked.
func hasSystemd() bool {
	if fi, err := os.Lstat("/run/systemd/system"); err != nil || !fi.IsDir() {
		return false
	}
	sockets := []string{"/run/dbus/system_bus_socket", "/run/systemd/private"}
	if os.Geteuid() != 0 {
		address, path := userBus()
		if path == "" {
			return address != ""
		}
		sockets = []string{path}
	}
	for _, s := range sockets {
		if fi, err := os.Stat(s); err == nil && fi.Mode().Type() == fs.ModeSocket {
			return true
		}
	}
	return false
}

// userBus is the address of the user's bus, and the path of its socket where it has one. A login that has no address
// in its environment (cron, su) finds the bus where systemd puts it.
func userBus() (address, path string) {
	if address = os.Getenv("DBUS_SESSION_BUS_ADDRESS"); address != "" {
		if rest, ok := strings.CutPrefix(address, "unix:path="); ok && !strings.ContainsAny(rest, ",;%") {
			path = rest
		}
		return address, path
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = fmt.Sprintf("/run/user/%d", os.Geteuid())
	}
	path = filepath.Join(dir, "bus")
	return "unix:path=" + dbus.EscapeBusAddressValue(path), path
}

// connect reaches the systemd that starts the caller's units.
func connect(ctx context.Context) (*systemd.Conn, error) {
	if os.Geteuid() == 0 {
		return systemd.NewWithContext(ctx)
	}
	return systemd.NewConnection(func() (*dbus.Conn, error) {
		address, _ := userBus()
		conn, err := dbus.Dial(address, dbus.WithContext(ctx))
		if err != nil {
			return nil, err
		}
		err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))})
		if err == nil {
			err = conn.Hello()
		}
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
	})
}

// attachScope asks for a scope with the process in it, and moves the process on into the box's group. The scope ends
// with its last process.
func (g *Group) attachScope(pid int) error {
	ctx, cancel := context.WithTimeout(context.Background(), asking)
	defer cancel()
	conn, err := connect(ctx)
	if err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	defer conn.Close()
	done := make(chan string, 1)
	if _, err := conn.StartTransientUnitContext(ctx, g.name+scopeSuffix, "fail", scopeProperties(g.name, pid), done); err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("systemd: %w", ctx.Err())
	case result := <-done:
		if result != "done" {
			return fmt.Errorf("systemd: the scope %s%s is %s", g.name, scopeSuffix, result)
		}
	}
	return g.enterScope(pid)
}

const scopeSuffix = ".scope"

func scopeProperties(name string, pid int) []systemd.Property {
	property := func(name string, value any) systemd.Property {
		return systemd.Property{Name: name, Value: dbus.MakeVariant(value)}
	}
	return []systemd.Property{
		systemd.PropDescription("The box " + name),
		systemd.PropPids(uint32(pid)),
		property("Delegate", true),
		property("CollectMode", "inactive-or-failed"),
	}
}

// enterScope makes the box's group in the scope that a process is in.
func (g *Group) enterScope(pid int) error {
	dir, err := groupOf(pid)
	if err != nil {
		return err
	}
	if filepath.Base(dir) != g.name+scopeSuffix {
		return fmt.Errorf("systemd: process %d is in %s, not in its scope", pid, dir)
	}
	for i := range g.plan.Parts {
		g.plan.Parts[i].Parent = dir
	}
	g.killsAround = killsBelow(filepath.Dir(dir))
	box := filepath.Join(dir, g.name)
	if err := os.Mkdir(box, 0o755); err != nil {
		return err
	}
	if err := write(box, procsFile, strconv.Itoa(pid)); err != nil {
		return err
	}
	for _, p := range g.plan.Parts { // only now: a group with processes hands nothing down
		if err := g.enable(p); err != nil {
			return err
		}
		if err := set(box, p.Settings); err != nil {
			return err
		}
	}
	return nil
}

// KillsAround are the processes that the kernel ended for want of memory, since the box began, in the slice that its
// scope is in. Systemd removes a scope with its last process, and the box's own count with it.
func (g *Group) KillsAround() uint64 {
	if g == nil || !g.plan.Scope || len(g.plan.Parts) == 0 {
		return 0
	}
	return less(killsBelow(filepath.Dir(g.plan.Parts[0].Parent)), g.killsAround)
}

func killsBelow(dir string) uint64 { return field(read(dir, "memory.events"), "oom_kill") }

// addToScope lets systemd move a process: from the group of a login nobody else may.
func (g *Group) addToScope(ctx context.Context, pid int) error {
	conn, err := connect(ctx)
	if err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	defer conn.Close()
	if err := conn.AttachProcessesToUnit(ctx, g.name+scopeSuffix, "/"+g.name, []uint32{uint32(pid)}); err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	return nil
}
