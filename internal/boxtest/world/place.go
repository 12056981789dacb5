package world

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A place is a network namespace and a mount namespace, kept by descriptors.
type place struct{ net, mounts *os.File }

// newPlace makes both, and arranges the mounts.
func newPlace(arrange func() error) (*place, error) {
	p := &place{}
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		// The machine's unmounts are followed, so that nothing stays busy for this.
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
			return fmt.Errorf("mounts of its own: %w", err)
		}
		if arrange != nil {
			if err := arrange(); err != nil {
				return err
			}
		}
		if p.net, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		p.mounts, err = os.Open("/proc/thread-self/ns/mnt")
		return err
	})
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *place) close() {
	p.net.Close()
	p.mounts.Close()
}

// enterCommand is the beginning of a command that runs another in the place. It begins as root: the descriptors are
// reached through this process.
func (p *place) enterCommand() []string {
	path := func(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()) }
	return []string{"nsenter", "--net=" + path(p.net), "--mount=" + path(p.mounts), "--"}
}

// do runs something in the place's network, where the sockets that it makes stay.
func (p *place) do(what func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(p.net.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("setns: %w", err)
		}
		return what()
	})
}

// onThread runs what changes the namespaces of its thread, and ends the thread.
func onThread(what func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread must not serve others
		if unix.Gettid() == unix.Getpid() {
			// The first thread never ends, and is what /proc/self shows. While it is held here, another one is taken.
			done <- onThread(what)
			runtime.UnlockOSThread()
			return
		}
		done <- what()
	}()
	return <-done
}

// showFiles mounts the directory's files over those of the same names in /etc.
func showFiles(dir string) error {
	for name := range files() {
		target := filepath.Join("/etc", name)
		if _, err := os.Stat(target); errors.Is(err, os.ErrNotExist) && name == "nsswitch.conf" {
			continue // of other C libraries than glibc
		}
		if err := unix.Mount(filepath.Join(dir, name), target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount over %s: %w", target, err)
		}
	}
	return nil
}

// farNetwork takes every address for its own but near's, for which the routes are in the same table, where the longest
// prefix wins. ARP is answered for all of them; for IPv6 only what a device has, so that near needs a gateway.
const farNetwork = `link set lo up
link add far type veth peer name near netns /proc/self/fd/3
link set far addrgenmode none
link set far up
address add 203.0.113.1/32 dev far
address add 2001:db8:a::1/128 dev far nodad
route add ` + NearIPv4 + `/32 dev far table local
route add ` + NearIPv6 + `/128 dev far table local
route add local 0.0.0.0/0 dev lo table local
route add local ::/0 dev lo table local
`

const nearNetwork = `link set lo up
link set near addrgenmode none
link set near up
address add ` + NearIPv4 + `/32 dev near
address add ` + NearIPv6 + `/128 dev near nodad
route add 203.0.113.1/32 dev near
route add 0.0.0.0/0 via 203.0.113.1 dev near
route add 2001:db8:a::1/128 dev near
route add ::/0 via 2001:db8:a::1 dev near
`

// join connects the places by a pair of devices.
func join(near, far *place) error {
	if err := far.do(func() error { return configure(farNetwork, near.net) }); err != nil {
		return fmt.Errorf("far network: %w", err)
	}
	if err := near.do(func() error { return configure(nearNetwork) }); err != nil {
		return fmt.Errorf("near network: %w", err)
	}
	return nil
}

// configure runs commands of ip(8), which sees the files from descriptor 3 on. The child is in its thread's namespaces.
func configure(commands string, files ...*os.File) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(commands)
	cmd.ExtraFiles = files
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, out)
	}
	return nil
}
