package session

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// holderEnv turns the test binary into a supervisor that makes sessions.
const holderEnv = "AGENTBOX_SESSION_HOLDER"

func TestMain(m *testing.M) {
	switch os.Getenv(holderEnv) {
	case "hold":
		os.Exit(hold(os.Args[1]))
	case "churn":
		os.Exit(churn(os.Args[1], 20))
	}
	os.Exit(m.Run())
}

// hold makes a session, says its ID and waits to be killed.
func hold(root string) int {
	s, err := Create(root, Info{Workspace: "/work", Command: []string{"sleep"}})
	if err != nil {
		os.Stderr.WriteString(err.Error())
		return 1
	}
	os.Stdout.WriteString(s.ID() + "\n")
	os.Stdin.Read(make([]byte, 1))
	return 0
}

func churn(root string, n int) int {
	for range n {
		s, err := Create(root, Info{Workspace: "/work"})
		if err == nil {
			err = errors.Join(s.Update(func(i *Info) { i.State = Running }), s.Close())
		}
		if err != nil {
			os.Stderr.WriteString(err.Error())
			return 1
		}
	}
	return 0
}

func testRoot(t testing.TB) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "r")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	return root
}

func mustCreate(t testing.TB, root string, info Info) *Session {
	t.Helper()
	s, err := Create(root, info)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func holder(t *testing.T, root, mode string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", root)
	cmd.Env = append(os.Environ(), holderEnv+"="+mode)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestSessionLivesFromCreateToClose(t *testing.T) {
	root := testRoot(t)
	s := mustCreate(t, root, Info{Workspace: "/work", Profile: "default", Command: []string{"claude", "-p"}})
	if err := s.Update(func(i *Info) { i.State, i.BoxPID, i.ID = Running, 42, "other" }); err != nil {
		t.Fatal(err)
	}
	infos, err := List(root)
	if err != nil {
		t.Fatal(err)
	}
	ticks, _ := StartTicks(os.Getpid())
	want := []Info{{ID: s.ID(), PID: os.Getpid(), StartTicks: ticks, Started: s.Info().Started, Workspace: "/work",
		Profile: "default", Command: []string{"claude", "-p"}, State: Running, BoxPID: 42}}
	if diff := cmp.Diff(want, infos); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
	if err := Remove(root, s.ID()); !errors.Is(err, ErrRunning) {
		t.Errorf("removing a live session: %v", err)
	}
	if _, err := Create(root, Info{ID: s.ID()}); !errors.Is(err, ErrExists) {
		t.Errorf("a second session of one ID: %v", err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	expectEmpty(t, root)
}

func expectEmpty(t *testing.T, root string) {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) > 0 {
		t.Errorf("left in the root: %v (%v)", entries, err)
	}
}

func TestModesKeepOthersOut(t *testing.T) {
	old := unix.Umask(0)
	t.Cleanup(func() { unix.Umask(old) })
	s := mustCreate(t, testRoot(t), Info{})
	if err := errors.Join(s.Listen(), s.Update(func(*Info) {})); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{".": 0o700, LockFile: 0o600, InfoFile: 0o600, SocketFile: 0o600} {
		fi, err := os.Stat(filepath.Join(s.Dir(), name))
		if err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v (%v)", name, fi.Mode().Perm(), want, err)
		}
	}
}

func TestKilledSupervisorIsStale(t *testing.T) {
	root := testRoot(t)
	cmd := holder(t, root, "hold")
	stdin, _ := cmd.StdinPipe()
	defer stdin.Close()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, idLength+1)
	if _, err := out.Read(line); err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(string(line))
	if stale, err := Stale(root); len(stale) > 0 || err != nil {
		t.Errorf("a live session is stale: %v %v", stale, err)
	}
	if info, err := Find(root, id[:idLength-1], ""); err != nil || info.PID != cmd.Process.Pid {
		t.Errorf("Find: %+v %v", info, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if stale, err := Stale(root); !slices.Equal(stale, []string{id}) || err != nil {
		t.Errorf("a dead session is not stale: %v %v", stale, err)
	}
	if infos, _ := List(root); len(infos) > 0 {
		t.Errorf("a dead session is listed: %v", infos)
	}
	s, err := Claim(root, id)
	if err != nil || s.Info().Workspace != "/work" {
		t.Fatalf("Claim: %v", err)
	}
	if infos, _ := List(root); len(infos) > 0 {
		t.Errorf("a dead session is listed while it is swept: %v", infos)
	}
	if err := Remove(root, id); !errors.Is(err, ErrRunning) {
		t.Errorf("removing a claimed session: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := Remove(root, id); !errors.Is(err, ErrNotFound) {
		t.Errorf("removing a removed session: %v", err)
	}
	expectEmpty(t, root)
}

// sweep removes what is stale until done is closed.
func sweep(t *testing.T, root string, done <-chan struct{}) {
	for {
		names, err := Stale(root)
		if err != nil {
			t.Error(err)
		}
		for _, name := range names {
			err := Remove(root, name)
			if err != nil && !errors.Is(err, ErrRunning) && !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestCreatingAgainstSweeping(t *testing.T) {
	root := testRoot(t)
	done := make(chan struct{})
	var sweepers, makers sync.WaitGroup
	for range 2 {
		sweepers.Go(func() { sweep(t, root, done) })
	}
	for range 50 {
		makers.Go(func() {
			s, err := Create(root, Info{Workspace: "/work"})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := os.Stat(filepath.Join(root, s.ID(), InfoFile)); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	for range 4 {
		cmd := holder(t, root, "churn")
		makers.Go(func() {
			if err := cmd.Run(); err != nil {
				t.Error(err)
			}
		})
	}
	makers.Wait()
	close(done)
	sweepers.Wait()
	expectEmpty(t, root)
}

func TestHalfMadeDirectoriesAreSwept(t *testing.T) {
	for name, files := range map[string][]string{
		"killed before the lock file": nil,
		"killed before the text":      {LockFile},
		"killed while writing":        {LockFile, InfoFile},
	} {
		t.Run(name, func(t *testing.T) {
			root := testRoot(t)
			part := partPrefix + NewID()
			os.Mkdir(filepath.Join(root, part), 0o700)
			for _, f := range files {
				os.WriteFile(filepath.Join(root, part, f), nil, 0o600)
			}
			if stale, err := Stale(root); !slices.Equal(stale, []string{part}) || err != nil {
				t.Errorf("Stale: %v %v", stale, err)
			}
			if err := Remove(root, part); err != nil {
				t.Error(err)
			}
			expectEmpty(t, root)
		})
	}
}

func TestRemovalStaysInside(t *testing.T) {
	root, outside := testRoot(t), t.TempDir()
	precious := filepath.Join(outside, "precious")
	os.WriteFile(precious, nil, 0o600)
	s := mustCreate(t, root, Info{})
	deep := filepath.Join(s.Dir(), RootFSDir, "a", "b")
	os.MkdirAll(deep, 0o755)
	os.Symlink(outside, filepath.Join(deep, "link"))
	os.WriteFile(filepath.Join(deep, "file"), nil, 0o400)
	os.Chmod(deep, 0o555)
	os.Chmod(filepath.Dir(deep), 0o000)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	expectEmpty(t, root)
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

func TestRemovalStopsAtMounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	root, outside := testRoot(t), t.TempDir()
	precious := filepath.Join(outside, "precious")
	os.WriteFile(precious, nil, 0o600)
	s := mustCreate(t, root, Info{})
	point := filepath.Join(s.Dir(), RootFSDir, "usr")
	os.MkdirAll(point, 0o755)
	if err := unix.Mount(outside, point, "", unix.MS_BIND, ""); err != nil {
		t.Skip("mount: ", err)
	}
	t.Cleanup(func() { unix.Unmount(point, unix.MNT_DETACH) })
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "something is still mounted on "+point) {
		t.Errorf("Close: %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
	unix.Unmount(point, unix.MNT_DETACH)
	if err := Remove(root, s.ID()); err != nil {
		t.Error(err)
	}
	expectEmpty(t, root)
}

func TestUnreadableSessionsAreListed(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON":             "{",
		"another session's ID": `{"id":"0123456789ab"}`,
	} {
		t.Run(name, func(t *testing.T) {
			root := testRoot(t)
			s := mustCreate(t, root, Info{})
			os.WriteFile(filepath.Join(s.Dir(), InfoFile), []byte(text), 0o600)
			infos, err := List(root)
			if diff := cmp.Diff([]Info{{ID: s.ID(), State: Unreadable}}, infos); diff != "" || err == nil {
				t.Errorf("List: %v\n%s", err, diff)
			}
		})
	}
}

func TestPlantedEntriesAreRefused(t *testing.T) {
	id := NewID()
	for name, plant := range map[string]func(t *testing.T, root, outside string){
		"a link instead of a session": func(t *testing.T, root, outside string) {
			os.Symlink(outside, filepath.Join(root, id))
		},
		"a session that others may write": func(t *testing.T, root, _ string) {
			os.Mkdir(filepath.Join(root, id), 0o700)
			os.Chmod(filepath.Join(root, id), 0o777)
		},
		"a link instead of a lock": func(t *testing.T, root, outside string) {
			os.Mkdir(filepath.Join(root, id), 0o700)
			os.Symlink(filepath.Join(outside, "new"), filepath.Join(root, id, LockFile))
		},
		"a FIFO instead of a lock": func(t *testing.T, root, _ string) {
			os.Mkdir(filepath.Join(root, id), 0o700)
			unix.Mkfifo(filepath.Join(root, id, LockFile), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			root, outside := testRoot(t), t.TempDir()
			plant(t, root, outside)
			if err := Remove(root, id); err == nil {
				t.Error("removed")
			}
			if _, err := Stale(root); err == nil {
				t.Error("Stale says nothing")
			}
			expectEmpty(t, outside)
		})
	}
}

func TestForeignRootIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving a directory away needs root")
	}
	root := testRoot(t)
	os.Chown(root, 65534, 65534)
	if _, err := Create(root, Info{}); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Errorf("Create: %v", err)
	}
}

func TestIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		id := NewID()
		if !ValidID(id) || seen[id] {
			t.Fatalf("%q is invalid or not new", id)
		}
		seen[id] = true
	}
	old := newID(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	for name, later := range map[string]time.Duration{"a second": time.Second, "a decade": 87600 * time.Hour} {
		if next := newID(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(later)); next <= old {
			t.Errorf("an ID %s later sorts first: %s, %s", name, old, next)
		}
	}
	for _, bad := range []string{"", "short", "../../../etc", "0123456789aB", "0123456789a/", "0123456789abc", "il0000000000"} {
		if ValidID(bad) {
			t.Errorf("%q is valid", bad)
		}
	}
}
