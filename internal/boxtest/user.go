package boxtest

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The accounts that are made as root.
const (
	userName = "agentbox-test" // has subordinate IDs
	bareName = "agentbox-bare" // has none
)

// An Account is a user that a test runs commands as.
type Account struct {
	Name       string
	UID, GID   int
	Home       string
	RuntimeDir string   // private to the test, mode 0700
	Path       string   // the PATH of its commands
	Enter      []string // the start of a command of root's that runs another elsewhere, as nsenter does; none: here
}

// User returns an ordinary user. As root it is agentbox-test, made if need be,
// which has subordinate IDs; otherwise it is the current user with a home of its
// own, and Need(t, Newuidmap) says about subordinate IDs.
func User(t testing.TB) *Account {
	t.Helper()
	a, err := findUser()
	return a.forTest(t, err)
}

// BareUser returns an ordinary user without subordinate IDs, so that newuidmap
// does nothing for it. The test is skipped when the tests run as a user who has
// some.
func BareUser(t testing.TB) *Account {
	t.Helper()
	a, err := findAccount(bareName)
	if err == nil && hasSubIDs(a.Name) {
		t.Skipf("needs a user without subordinate IDs: %s has some", a.Name)
	}
	return a.forTest(t, err)
}

// Superuser returns root, with a home of its own.
func Superuser(t testing.TB) *Account {
	t.Helper()
	Need(t, Root)
	a := Account{Name: "root"}
	process.mu.Lock()
	err := process.lockMachine()
	process.mu.Unlock()
	return a.forTest(t, err)
}

func findUser() (Account, error) { return findAccount(userName) }

// findAccount finds or makes an account, once a process.
func findAccount(name string) (Account, error) {
	process.mu.Lock()
	defer process.mu.Unlock()
	if known, ok := process.accounts[name]; ok {
		return known.found, known.err
	}
	var a Account
	err := process.lockMachine()
	if err == nil {
		a, err = lookupAccount(name)
	}
	if process.accounts == nil {
		process.accounts = map[string]account{}
	}
	process.accounts[name] = account{a, err}
	return a, err
}

func lookupAccount(name string) (Account, error) {
	if os.Geteuid() != 0 {
		return currentAccount()
	}
	u, err := user.Lookup(name)
	if errors.As(err, new(user.UnknownUserError)) {
		if err = try(exec.Command("useradd", "--create-home", "--shell", "/bin/bash", name)); err == nil {
			u, err = user.Lookup(name)
		}
	}
	if err != nil {
		return Account{}, fmt.Errorf("account %s: %w", name, err)
	}
	a, err := fromUser(u)
	if err == nil {
		err = arrangeSubIDs(name, name == userName)
	}
	a.Home = u.HomeDir
	return a, err
}

func currentAccount() (Account, error) {
	u, err := user.Current()
	if err != nil {
		return Account{}, err
	}
	return fromUser(u) // without its home: tests write there
}

func fromUser(u *user.User) (Account, error) {
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return Account{Name: u.Username, UID: uid, GID: gid}, errors.Join(err1, err2)
}

// forTest gives the account the directories that belong to one test.
func (a Account) forTest(t testing.TB, err error) *Account {
	t.Helper()
	if err != nil {
		t.Fatal("boxtest: ", err)
	}
	a.Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if goTool, err := exec.LookPath("go"); err == nil && !strings.HasPrefix(goTool, "/root/") {
		a.Path = filepath.Dir(goTool) + ":" + a.Path
	}
	if a.Home == "" {
		a.Home = scratch(t, &a, "home", 0o755)
	} else {
		a.forget(t)
		t.Cleanup(func() { a.forget(t) })
	}
	a.RuntimeDir = scratch(t, &a, "xdg", 0o700)
	t.Cleanup(func() { a.reportRuntime(t) })
	return &a
}

// forget removes what agentbox keeps for the account between runs, so that no
// test depends on the one before.
func (a *Account) forget(t testing.TB) {
	t.Helper()
	for _, dir := range []string{".config/agentbox", ".local/state/agentbox", ".cache/agentbox"} {
		RemoveAll(t, filepath.Join(a.Home, dir))
	}
}

// reportRuntime does Leftovers' work for directories that are about to go.
func (a *Account) reportRuntime(t testing.TB) {
	process.mu.Lock()
	watched := process.watchers > 0
	process.mu.Unlock()
	if !watched {
		return
	}
	roots := []string{filepath.Join(a.RuntimeDir, "agentbox"), filepath.Join(a.Home, ".local/state/agentbox/run")}
	for what := range settle(func() map[string]bool { return runtimeFiles(roots) }, nil) {
		t.Errorf("left behind: %s", what)
	}
}

// Environ returns the environment of the account's commands.
func (a *Account) Environ() []string {
	return []string{"HOME=" + a.Home, "USER=" + a.Name, "LOGNAME=" + a.Name, "PATH=" + a.Path, "SHELL=/bin/bash",
		"TERM=xterm-256color", "LANG=C.UTF-8", "XDG_RUNTIME_DIR=" + a.RuntimeDir}
}

// Command returns a command that runs as the account, in dir, with a clean
// environment and no supplementary groups. A name without a slash is looked up
// in the account's PATH.
func (a *Account) Command(t testing.TB, dir string, argv ...string) *exec.Cmd {
	t.Helper()
	path, err := a.lookPath(argv[0])
	if err != nil {
		t.Fatal("boxtest: ", err)
	}
	cmd := exec.Command(path, argv[1:]...)
	cmd.Args[0] = argv[0]
	a.prepare(cmd, dir)
	cmd.Env = a.Environ()
	if len(a.Enter) > 0 {
		if err := a.enter(cmd, argv); err != nil {
			t.Fatal("boxtest: ", err)
		}
	}
	return cmd
}

// enter makes root begin the command, in the same process as what it becomes: what leads elsewhere may need root, and
// forgets the directory.
func (a *Account) enter(cmd *exec.Cmd, argv []string) error {
	args := append(slices.Clone(a.Enter), "setpriv", fmt.Sprintf("--reuid=%d", a.UID), fmt.Sprintf("--regid=%d", a.GID),
		"--clear-groups", "env", "--chdir="+cmp.Or(cmd.Dir, "/"))
	for _, program := range []string{a.Enter[0], "setpriv", "env"} {
		path, err := exec.LookPath(program)
		if err != nil {
			return err
		}
		args[slices.Index(args, program)] = path
	}
	cmd.Path, cmd.Args = args[0], append(args, argv...)
	cmd.SysProcAttr.Credential = nil
	return nil
}

func (a *Account) prepare(cmd *exec.Cmd, dir string) {
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.GID)}
	}
}

func (a *Account) lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range filepath.SplitList(a.Path) {
		path := filepath.Join(dir, name)
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in %s's PATH %s", name, a.Name, a.Path)
}

func (a *Account) own(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Chown(path, a.UID, a.GID)
}

// Project returns a new project directory of the account, below a path that
// others may traverse. It is removed at the end of the test.
func Project(t testing.TB, a *Account) string {
	t.Helper()
	return scratch(t, a, "project", 0o755)
}

// WriteFile writes a file of the account's, and the directories above it.
func (a *Account) WriteFile(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	var made []string
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); err == nil {
			break
		}
		made = append(made, dir)
	}
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), mode)
	}
	for _, p := range append(made, path) {
		err = errors.Join(err, a.own(p))
	}
	if err := errors.Join(err, os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

// arrangeSubIDs gives the account 65536 subordinate IDs, or takes away what
// useradd gave it.
func arrangeSubIDs(name string, want bool) error {
	for _, kind := range []string{"uid", "gid"} {
		own, free, err := subIDs("/etc/sub"+kind, name)
		if err != nil {
			return err
		}
		var args []string
		if want && len(own) == 0 {
			args = append(args, "--add-sub"+kind+"s", fmt.Sprintf("%d-%d", free, free+65535))
		}
		for _, r := range own {
			if !want {
				args = append(args, "--del-sub"+kind+"s", r)
			}
		}
		if len(args) == 0 {
			continue
		}
		if err := try(exec.Command("usermod", append(args, name)...)); err != nil {
			return fmt.Errorf("subordinate IDs of %s: %w", name, err)
		}
	}
	return nil
}

func hasSubIDs(name string) bool {
	uids, _, _ := subIDs("/etc/subuid", name)
	gids, _, _ := subIDs("/etc/subgid", name)
	return len(uids)+len(gids) > 0
}

// subIDs returns the account's ranges, as usermod writes them, and the first ID
// behind every range.
func subIDs(path, name string) (own []string, free uint64, err error) {
	free = 100000
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, free, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) != 3 {
			continue
		}
		first, err1 := strconv.ParseUint(fields[1], 10, 32)
		count, err2 := strconv.ParseUint(fields[2], 10, 32)
		if err1 != nil || err2 != nil || count == 0 {
			continue
		}
		free = max(free, first+count)
		if fields[0] == name {
			own = append(own, fmt.Sprintf("%d-%d", first, first+count-1))
		}
	}
	return slices.Compact(own), free, lines.Err()
}
