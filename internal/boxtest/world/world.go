// Package world is a small internet of a test's own: two network namespaces, near and far, that a pair of devices joins.
//
// Programs of the test run near, as any account (Near). The test's servers listen far, in the test process (HTTPS, HTTP,
// TCP). Near has one route, to far, and far takes every address for its own: 203.0.113.10, 10.9.8.7, 169.254.169.254 or
// fd00:ec2::254 are all there, so that a connection that must not be made would arrive, and be counted. Only addresses of
// near itself (the loopback's, NearIPv4, NearIPv6) are listened on there. Nothing leads to the machine's own network.
//
// Near has a mount namespace of its own with its own hosts, resolv.conf and nsswitch.conf in /etc: names are what the
// test says (Hosts, Name, Answers), and which queries arrived is recorded (Queries). Certificates are of an authority
// that only this world knows (CA).
//
// All of it belongs to one test and goes with it: the namespaces live as long as descriptors of the test process and the
// programs inside. It needs root.
package world

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"agentbox/internal/boxtest"
)

// Addresses that every world has.
const (
	NearIPv4 = "203.0.113.2"
	NearIPv6 = "2001:db8:a::2"
	NameIPv4 = "203.0.113.53" // of the far server that near's resolv.conf names
)

// A World is a near and a far place, with names and an authority for certificates.
type World struct {
	t     testing.TB
	near  *place
	far   *place
	hosts string // the file that near has as /etc/hosts
	ca    *authority
	names names

	mu sync.Mutex
}

// files are what near has in /etc; hosts grows by what Hosts says.
func files() map[string]string {
	return map[string]string{
		"hosts":         "127.0.0.1 localhost\n::1 localhost ip6-localhost\n",
		"resolv.conf":   "nameserver " + NameIPv4 + "\noptions timeout:1 attempts:2\n",
		"nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
	}
}

// New makes a world for the test, which is skipped where the machine cannot have one.
func New(t testing.TB) *World {
	t.Helper()
	boxtest.Need(t, boxtest.Root, boxtest.Veth)
	dir, err := os.MkdirTemp("/var/tmp", "boxtest-world-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &World{t: t, hosts: filepath.Join(dir, "hosts")}
	err = os.Chmod(dir, 0o755)
	for name, text := range files() {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	if err == nil {
		err = w.open(dir)
	}
	if err != nil {
		t.Fatal("world: ", err)
	}
	w.serveNames()
	return w
}

func (w *World) open(dir string) (err error) {
	if w.ca, err = newAuthority(); err != nil {
		return err
	}
	if w.near, err = newPlace(func() error { return showFiles(dir) }); err != nil {
		return err
	}
	w.t.Cleanup(w.near.close)
	if w.far, err = newPlace(nil); err != nil {
		return err
	}
	w.t.Cleanup(w.far.close)
	return join(w.near, w.far)
}

// Near returns the account as one whose commands run near. It shares the account's directories.
func (w *World) Near(a *boxtest.Account) *boxtest.Account {
	near := *a
	near.Enter = w.near.enterCommand()
	return &near
}

// Hosts adds a name to near's /etc/hosts.
func (w *World) Hosts(name string, addresses ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	// The file is mounted: another one in its place would not be seen.
	f, err := os.OpenFile(w.hosts, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		w.t.Fatal("world: ", err)
	}
	for _, address := range addresses {
		_, werr := fmt.Fprintln(f, address, name)
		err = errors.Join(err, werr)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		w.t.Fatal("world: ", err)
	}
}

// isNear says whether an address is one of near's own.
func isNear(address string) bool {
	return strings.HasPrefix(address, "127.") || slices.Contains([]string{"::1", NearIPv4, NearIPv6}, address)
}
