package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

// An attempt is a script of the agent's, what agentbox is told, and where it is
// made: in a box, or outside, by the same account.
type attempt struct {
	script  string
	options []string
	profile string
	outside bool
}

// A denial is a pair of attempts that differ in one thing. The first fails and says
// so; the second succeeds. An empty script of the second is that of the first.
type denial struct {
	no   attempt
	says string
	yes  attempt
}

func (w *world) attempt(t *testing.T, a attempt) result {
	t.Helper()
	w.profile(t, a.profile)
	if a.outside {
		return finish(t, w.Command(t, w.dir, "sh", "-c", a.script))
	}
	args := append([]string{"run"}, a.options...)
	return finish(t, w.agentbox(t, append(args, "--", "sh", "-c", a.script)...))
}

const (
	readOnly = "Read-only file system"
	denied   = "Permission denied"
	eperm    = "Operation not permitted"
)

// python makes a script that ends with the text of an error, if there is one.
func python(body string) string {
	return "/usr/bin/python3 -c '" + strings.ReplaceAll(`
import ctypes, os, socket, stat, time
libc = ctypes.CDLL(None, use_errno=True)
def check(r):
    if r < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
`+body, "'", `"`) + "'"
}

func files() map[string]denial {
	unmasked := "[workspace]\nmask = ['!.env']"
	return map[string]denial{
		"it writes to /etc":                {attempt{script: `echo x >/etc/x`}, readOnly, attempt{script: `echo x >/tmp/x`}},
		"it changes a program":             {attempt{script: `touch /usr/bin/sh`}, denied, attempt{script: `test -r /usr/bin/sh`}},
		"it adds a file to the root":       {attempt{script: `touch /x`}, readOnly, attempt{script: `touch /var/tmp/x ~/x`}},
		"it reads a masked file":           {attempt{script: `grep secret .env`}, denied, attempt{profile: unmasked}},
		"it reads a masked file deeper":    {attempt{script: `grep secret sub/.env`}, denied, attempt{profile: unmasked}},
		"it changes a masked file":         {attempt{script: `echo x >>.env`}, denied, attempt{profile: unmasked}},
		"it removes a masked file":         {attempt{script: `rm -f .env`}, "busy", attempt{script: `cp .env.example x && rm x`}},
		"it moves a masked file away":      {attempt{script: `mv sub moved`}, "busy", attempt{script: `mv sub moved && mv moved sub`, profile: unmasked}},
		"it writes a protected file":       {attempt{script: `echo x >.git/hooks/pre-commit`}, readOnly, attempt{profile: "[workspace]\nprotect = ['!.git/hooks']"}},
		"it replaces a protected file":     {attempt{script: `mv .git/hooks .git/old`}, "busy", attempt{script: `mv .git/hooks .git/old && mv .git/old .git/hooks`, profile: "[workspace]\nprotect = ['!.git/hooks']"}},
		"it writes where it may only read": {attempt{script: `echo x >x`, options: []string{"--mode", "ro"}}, readOnly, attempt{options: []string{"--mode", "rw"}}},
		"it runs what it put in /tmp": {attempt{script: `cp /bin/true /tmp/t && /tmp/t`, profile: "limits.enforcement = 'watched'\nworkspace.mode = 'ro'", options: []string{"--profile", "strict"}}, denied,
			attempt{options: []string{"--profile", "default"}}},
		"it reads the home directory":        {attempt{script: `cat ~/key`}, "No such file", attempt{outside: true}},
		"it sees the host's /tmp":            {attempt{script: `cat $(cat in-tmp)`}, "No such file", attempt{outside: true}},
		"it makes a device":                  {attempt{script: `mknod d c 1 3`}, eperm, attempt{script: `mknod p p`}},
		"it makes a set-user-ID file":        {attempt{script: `touch f && chmod 4755 f`}, eperm, attempt{script: `touch f && chmod 755 f`}},
		"it makes a set-group-ID file":       {attempt{script: python(`os.chmod('in-tmp', 0o2755)`)}, eperm, attempt{script: python(`os.chmod('in-tmp', 0o755)`)}},
		"it writes to a mount for reading":   {attempt{script: `echo x >/srv/x`, options: []string{"--mount", "type=bind,source=~/mounted,target=/srv"}}, readOnly, attempt{options: []string{"--mount", "type=bind,source=~/mounted,target=/srv,rw"}}},
		"it changes a setting of the kernel": {attempt{script: `echo x >/proc/sys/kernel/hostname`}, readOnly, attempt{script: `cat /proc/sys/kernel/hostname`}},
	}
}

func kernel() map[string]denial {
	socket := func(family, kind string) attempt {
		return attempt{script: python(fmt.Sprintf(`socket.socket(%s, socket.%s)`, family, kind))}
	}
	inet := socket("socket.AF_INET", "SOCK_STREAM")
	return map[string]denial{
		"it makes a user namespace": {attempt{script: `unshare --user true`}, eperm, attempt{outside: true}},
		"it mounts":                 {attempt{script: `unshare --user --map-root-user --mount mount -t tmpfs none /mnt`}, eperm, attempt{outside: true}},
		"it mounts without asking":  {attempt{script: python(`check(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))`)}, eperm, attempt{script: python(`check(libc.access(b'/tmp', 0))`)}},
		"it traces a process": {attempt{script: python(`
r, w = os.pipe()
child = os.fork()
if not child: os.close(w); os.read(r, 1); os._exit(0)
try: check(libc.ptrace(16, child, 0, 0))
finally: os.kill(child, 9); os.waitpid(child, 0x40000000)`)}, eperm, attempt{outside: true}},
		"it reads a keyring":             {attempt{script: python(`check(libc.syscall({"x86_64": 250}.get(os.uname().machine, 219), 0, -3, 1))`)}, eperm, attempt{outside: true}},
		"it opens a kernel crypto":       {socket("socket.AF_ALG", "SOCK_SEQPACKET"), eperm, inet},
		"it opens a way to the machine":  {socket("socket.AF_VSOCK", "SOCK_STREAM"), eperm, inet},
		"it opens a raw socket":          {socket("socket.AF_INET", "SOCK_RAW"), eperm, inet},
		"it opens a packet socket":       {socket("socket.AF_PACKET", "SOCK_RAW"), eperm, inet},
		"it signals a host's process":    {attempt{script: `kill -0 $(cat pid)`}, "No such process", attempt{outside: true}},
		"it reaches a server outside":    {attempt{script: python(`socket.create_connection(('127.0.0.1', int(open('port').read())))`)}, "Connection refused", attempt{outside: true}},
		"it finds a network":             {attempt{script: python(`assert socket.if_nameindex() != [(1, 'lo')], 'only lo'`)}, "only lo", attempt{script: python(`assert socket.if_nameindex() == [(1, 'lo')]`)}},
		"it finds PATH through projects": {attempt{script: `echo ":$PATH:" | grep -e "$PWD" -e "::" -e ":\.:" -e "$HOME" || { echo clean >&2; false; }`}, "clean", attempt{outside: true}},
	}
}

func TestDenials(t *testing.T) {
	boxtest.Need(t, boxtest.Python)
	for account, find := range rootAndUser() {
		for kind, table := range map[string]map[string]denial{"files": files(), "kernel": kernel()} {
			t.Run(account+" "+kind, func(t *testing.T) {
				boxtest.Leftovers(t)
				w := newWorld(t, find, "")
				w.furnish(t)
				for name, d := range table {
					t.Run(name, func(t *testing.T) {
						if r := w.attempt(t, d.no); r.code == 0 || !strings.Contains(r.out+r.err, d.says) {
							t.Errorf("not refused with %q: %+v", d.says, r)
						}
						if d.yes.script == "" {
							d.yes.script = d.no.script
						}
						if r := w.attempt(t, d.yes); r.code != 0 {
							t.Errorf("the other attempt was refused: %+v", r)
						}
					})
				}
			})
		}
	}
}

// furnish puts into the world what the agents reach for.
func (w *world) furnish(t *testing.T) {
	t.Helper()
	for _, name := range []string{".env", "sub/.env", ".env.example", ".git/hooks/pre-commit"} {
		w.WriteFile(t, filepath.Join(w.dir, name), "secret\n", 0o644)
	}
	w.WriteFile(t, filepath.Join(w.Home, "key"), "secret\n", 0o600)
	w.WriteFile(t, filepath.Join(w.Home, "mounted/file"), "", 0o644)
	t.Cleanup(func() {
		os.Remove(filepath.Join(w.Home, "key"))
		os.RemoveAll(filepath.Join(w.Home, "mounted"))
	})
	tmp, err := os.CreateTemp("/tmp", "boxtest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(tmp.Name()) })
	w.WriteFile(t, tmp.Name(), "secret\n", 0o644)
	w.WriteFile(t, filepath.Join(w.dir, "in-tmp"), tmp.Name(), 0o644)
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	w.WriteFile(t, filepath.Join(w.dir, "port"), fmt.Sprint(server.Addr().(*net.TCPAddr).Port), 0o644)
	other := w.start(t, idle)
	w.WriteFile(t, filepath.Join(w.dir, "pid"), fmt.Sprint(other.cmd.Process.Pid), 0o644)
	w.Path = filepath.Join(w.dir, "bin") + ":.::" + filepath.Join(w.Home, "bin") + ":/usr/bin:/bin"
}

// What the agent writes beside the project stays in the box.
func TestPrivatePlaces(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			const files = `../boxtest-mark ~/boxtest-mark /tmp/boxtest-mark /var/tmp/boxtest-mark /dev/shm/boxtest-mark mark`
			if r := w.sh(t, "touch "+files+" && ls "+files); r.code != 0 {
				t.Errorf("inside: %+v", r)
			}
			if r := finish(t, w.Command(t, w.dir, "sh", "-c", "ls "+files)); r.out != "mark\n" {
				t.Errorf("outside: %+v", r)
			}
		})
	}
}

// Characters that a program types into its caller's terminal would be commands.
func TestTypingIntoTheTerminal(t *testing.T) {
	boxtest.Need(t, boxtest.Python)
	ioctl := func(name string) string {
		return python(`import fcntl, termios; fcntl.ioctl(0, termios.` + name + `, b'x' * 8)`)
	}
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			for name, code := range map[string]int{"TIOCSTI": 1, "TIOCGWINSZ": 0} {
				if r := finish(t, withTerminal(t, w.agentbox(t, "run", "-t", "--", "sh", "-c", ioctl(name)))); r.code != code {
					t.Errorf("%s: %+v", name, r)
				}
			}
		})
	}
}

func TestEnvironmentThatWouldHijackPrograms(t *testing.T) {
	names := []string{"LD_PRELOAD", "LD_LIBRARY_PATH", "NODE_OPTIONS", "PYTHONSTARTUP", "BASH_ENV", "GIT_SSH_COMMAND"}
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			run := func(options ...string) result {
				cmd := w.agentbox(t, append(append([]string{"run"}, options...), "--", "env")...)
				cmd.Env = append(cmd.Env, "WANTED=yes")
				for _, name := range names {
					cmd.Env = append(cmd.Env, name+"=")
				}
				return finish(t, cmd)
			}
			if r := run("--env-pass", "*"); r.code == 0 && (!strings.Contains(r.out, "WANTED=yes") || strings.Contains(r.out, names[0])) {
				t.Errorf("all that there is: %+v", r)
			}
			if r := run("--env-pass", "WANTED"); r.code != 0 || !strings.Contains(r.out, "WANTED=yes") {
				t.Errorf("what the profile names: %+v", r)
			}
			for _, name := range names {
				if r := run("--env-pass", name); strings.Contains(r.out, name+"=") {
					t.Errorf("%s came through: %+v", name, r)
				}
			}
		})
	}
}

func TestDescriptorsAreNotInherited(t *testing.T) {
	const list = `ls /proc/$$/fd; :` // no pipe, which the shell would hold open at that moment
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			secret, err := os.Open("/")
			if err != nil {
				t.Fatal(err)
			}
			defer secret.Close()
			with := func(cmd *exec.Cmd) string {
				cmd.ExtraFiles = []*os.File{secret, secret}
				return finish(t, cmd).out
			}
			if got := with(w.Command(t, w.dir, "sh", "-c", list)); !strings.Contains(got, "\n3\n4\n") {
				t.Errorf("outside: %q", got)
			}
			if got := with(w.agentbox(t, "run", "--", "sh", "-c", list)); got != "0\n1\n2\n" {
				t.Errorf("inside: %q", got)
			}
		})
	}
}

// The file that the caller redirects to is its own and stays so.
func TestOwnerOfTheOutputStays(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			path := filepath.Join(w.dir, "output")
			w.WriteFile(t, path, "", 0o600)
			cmd := w.Command(t, w.dir, "sh", "-c", w.bin+` run -- sh -c "echo text; echo more >&2" >output 2>&1`)
			r := finish(t, cmd)
			data, _ := os.ReadFile(path)
			var st unix.Stat_t
			if err := unix.Stat(path, &st); err != nil || r.code != 0 || len(data) != len("text\nmore\n") || int(st.Uid) != w.UID || int(st.Gid) != w.GID || st.Mode&0o777 != 0o600 {
				t.Errorf("%+v, %q, owner %d:%d, mode %o, %v", r, data, st.Uid, st.Gid, st.Mode, err)
			}
		})
	}
}

// A socket leads out of the box, so a profile that names one is wrong.
func TestMountsThatLeadOut(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			socket := filepath.Join(w.RuntimeDir, "s")
			server, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			file := filepath.Join(w.Home, "file")
			w.WriteFile(t, file, "", 0o644)
			defer os.Remove(file)
			for source, code := range map[string]int{socket: 65, "/dev/zero": 65, w.dir + "/nothing": 65, file: 0} {
				w.WriteFile(t, filepath.Join(w.Home, ".config/agentbox/profile.toml"),
					fmt.Sprintf("[[mount]]\ntype = 'bind'\nsource = %q\ntarget = '/srv'\n", source), 0o644)
				for _, args := range [][]string{{"check"}, {"run", "--", "true"}} {
					if r := finish(t, w.agentbox(t, args...)); r.code != code || (code != 0 && !strings.Contains(r.err, "mount[0].source")) {
						t.Errorf("%s of %s: %+v", args[0], source, r)
					}
				}
			}
		})
	}
}
