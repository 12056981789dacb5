package vm

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// An account is a line of /etc/passwd. Its group has the same number and name.
type account struct {
	uid  int
	home string
}

var accounts = map[string]account{
	Root: {0, "/root"},
	User: {1000, "/home/user"},
	Bare: {1001, "/home/bare"},
}

// project is where commands start, below the home directory.
func (a account) project() string { return path.Join(a.home, "project") }

func (a account) environ(name string) []string {
	return []string{"HOME=" + a.home, "USER=" + name, "LOGNAME=" + name, "SHELL=/bin/sh", "TERM=dumb", "LANG=C.UTF-8",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", fmt.Sprintf("XDG_RUNTIME_DIR=/run/user/%d", a.uid)}
}

// software builds what is on a machine's disk, with the layout of Debian: what
// agentbox shows in a box must be where it is elsewhere. It also says which
// program becomes PID 1, if that is another than the guest.
func software(o Options, binary string) (archives [][]byte, init string, err error) {
	t := newTree()
	t.directories()
	for _, name := range slices.Sorted(maps.Keys(o.Files)) {
		t.file(name, o.Files[name])
	}
	t.file("/usr/local/bin/agentbox", File{From: binary, Mode: 0o755})
	t.identity()
	if o.Systemd {
		init = systemdInit
		t.systemd()
	} else {
		t.mapping()
	}
	t.busybox()
	archives, err = t.finish()
	return archives, init, err
}

func (t *tree) directories() {
	for _, dir := range []string{"/etc", "/usr", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/share", "/usr/local", "/usr/local/bin",
		"/usr/local/sbin", "/var", "/var/lib", "/var/cache", "/var/log", "/home", "/mnt", "/opt", "/run", "/srv"} {
		t.dir(dir, 0o755, 0, 0)
	}
	for _, dir := range mergedDirs {
		t.link("/"+dir, "usr/"+dir)
	}
	for _, dir := range []string{"/tmp", "/var/tmp"} {
		t.dir(dir, 0o777|fs.ModeSticky, 0, 0)
	}
	for _, a := range accounts {
		t.dir(a.home, 0o700, a.uid, a.uid)
		t.dir(a.project(), 0o755, a.uid, a.uid)
	}
}

// busybox adds the static busybox of this machine, and a link for each applet that
// is not there as a program.
func (t *tree) busybox() {
	program, err := exec.LookPath("busybox")
	if err != nil {
		t.err = errors.Join(t.err, err)
		return
	}
	t.file("/usr/bin/busybox", File{From: program, Mode: 0o755})
	list, err := output(program, "--list-full")
	t.err = errors.Join(t.err, err)
	for _, applet := range strings.Fields(strings.ReplaceAll(list, "linuxrc", "")) { // an init for old RAM disks
		t.link("/"+applet, "/usr/bin/busybox")
	}
}

// identity adds the files that say who everyone is.
func (t *tree) identity() {
	var passwd, group strings.Builder
	for _, name := range slices.Sorted(maps.Keys(accounts)) {
		a := accounts[name]
		fmt.Fprintf(&passwd, "%s:x:%d:%d:%s:%s:/bin/sh\n", name, a.uid, a.uid, name, a.home)
		fmt.Fprintf(&group, "%s:x:%d:\n", name, a.uid)
	}
	t.texts(map[string]string{
		"/etc/passwd":        passwd.String() + "messagebus:x:100:100::/nonexistent:/bin/false\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
		"/etc/group":         group.String() + "tty:x:5:\nmessagebus:x:100:\nnogroup:x:65534:\n",
		"/etc/subuid":        User + ":100000:65536\n",
		"/etc/subgid":        User + ":100000:65536\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
		"/etc/hostname":      "boxtest\n",
		"/etc/hosts":         "127.0.0.1 localhost boxtest\n::1 localhost\n",
		"/etc/resolv.conf":   "",
		"/etc/os-release":    "ID=boxtest\nNAME=boxtest\nPRETTY_NAME=\"A machine of the tests\"\n",
		"/etc/profile":       "",
	})
}

func (t *tree) texts(files map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		t.file(name, File{Text: files[name]})
	}
}

// mapping adds this machine's set-user-ID programs that map subordinate IDs, with
// the libraries they load.
func (t *tree) mapping() {
	for _, name := range []string{"newuidmap", "newgidmap"} {
		program, err := exec.LookPath(name)
		if err != nil {
			t.err = errors.Join(t.err, err)
			return
		}
		t.file("/usr/bin/"+name, File{From: program, Mode: 0o755 | fs.ModeSetuid})
		libraries, err := output("ldd", program)
		t.err = errors.Join(t.err, err)
		for _, word := range strings.Fields(libraries) {
			if filepath.IsAbs(word) {
				t.file(filepath.Clean(word), File{From: word, Mode: 0o755})
			}
		}
	}
}
